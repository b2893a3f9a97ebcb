//! The credentials in use: fetched when first needed, kept until shortly before they expire, thrown away when refused.
//! Promises at most one fetch at a time, that no call waits for one while the old keys are good, that a failed refresh keeps
//! them, and that a late refusal of old keys leaves newer ones alone. Leaves where credentials come from to the SDK's chain.

use crate::telemetry::ids;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{hints, said};

/// Keys are replaced this long before they expire.
const EARLY: Duration = Duration::from_secs(60);
/// Keys that name no expiry are asked for again after this long, so that a changed file is noticed.
const UNDATED: Duration = Duration::from_secs(15 * 60);
/// Between two attempts to replace keys that are still good.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(10);
/// One fetch may take this long: the chain itself gives the instance metadata 30 s.
const FETCH_TIMEOUT: Duration = Duration::from_secs(35);

/// Builds the chain of providers; called again after keys were refused, because a chain keeps the files it has read.
pub(super) type Chain =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<SharedCredentialsProvider>> + Send>> + Send + Sync>;

/// The credentials of one session, shared by all calls.
pub(super) struct Keys {
    source: Source,
}

enum Source {
    Fixed(Credentials),
    Chain(Arc<Chained>),
}

/// Keys for one call.
#[derive(Clone, Debug)]
pub(super) struct Lent {
    /// The keys.
    pub(super) credentials: Credentials,
    /// Which fetch they came with, from 1; 0 where they never change.
    fetch: u64,
}

/// There are no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct NoKeys {
    /// Why, with all that the chain said about it.
    pub(super) reason: String,
}

struct Chained {
    chain: Chain,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    provider: Option<SharedCredentialsProvider>,
    keys: Option<Dated>,
    fetches: u64,
    /// How the fetch goes that is under way.
    fetching: Option<Fetching>,
    tasks: JoinSet<()>,
    /// What was last logged about a refresh.
    told: Option<String>,
}

/// Nothing while it is under way.
type Fetching = watch::Receiver<Option<Result<Lent, NoKeys>>>;

struct Dated {
    lent: Lent,
    /// Invariant: `refresh_at <= expiry`, where there is an expiry.
    refresh_at: SystemTime,
    expiry: Option<SystemTime>,
}

impl fmt::Debug for Keys {
    /// Never shows a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match self.source {
            Source::Fixed(_) => "fixed",
            Source::Chain(_) => "chain",
        };
        formatter.debug_tuple("Keys").field(&source).finish()
    }
}

impl Keys {
    /// Keys that never change.
    pub(super) const fn fixed(credentials: Credentials) -> Self {
        Self { source: Source::Fixed(credentials) }
    }

    /// Keys out of a chain of providers, which is not asked before the first call.
    pub(super) fn chain(chain: Chain) -> Self {
        Self { source: Source::Chain(Arc::new(Chained { chain, held: Mutex::default() })) }
    }

    /// Keys that are good at `now`.
    ///
    /// # Errors
    /// When there are none and the chain gives none.
    pub(super) async fn credentials(&self, now: SystemTime) -> Result<Lent, NoKeys> {
        let chained = match &self.source {
            Source::Fixed(credentials) => return Ok(Lent { credentials: credentials.clone(), fetch: 0 }),
            Source::Chain(chained) => chained,
        };
        let mut fetching = match chained.at_hand(now) {
            Ok(lent) => return Ok(lent),
            Err(fetching) => fetching,
        };
        match fetching.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(fetched)) => fetched.clone(),
            Ok(None) | Err(_) => Err(NoKeys { reason: "fetching them was given up".to_owned() }),
        }
    }

    /// The service refused these keys: fetch others before the next call, from files and environment as they are then.
    /// Where others were fetched meanwhile, those are kept.
    pub(super) fn distrust(&self, refused: &Lent) {
        let Source::Chain(chained) = &self.source else { return };
        let mut held = chained.lock();
        if held.keys.as_ref().is_some_and(|keys| keys.lent.fetch == refused.fetch) {
            held.keys = None;
            held.provider = None;
        }
    }
}

impl Chained {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys that are good, or the fetch to wait for. Keys that end soon are good, and a fetch goes on meanwhile.
    fn at_hand(self: &Arc<Self>, now: SystemTime) -> Result<Lent, Fetching> {
        let mut held = self.lock();
        let good = held.keys.as_ref().filter(|keys| keys.expiry.is_none_or(|expiry| now < expiry));
        let (lent, due) = (good.map(|keys| keys.lent.clone()), good.is_none_or(|keys| keys.refresh_at <= now));
        if let (Some(lent), false) = (&lent, due) {
            return Ok(lent.clone());
        }
        let under_way =
            held.fetching.take().filter(|fetching| fetching.borrow().is_none() && fetching.has_changed().is_ok());
        let fetching = under_way.unwrap_or_else(|| self.begin(&mut held, now));
        held.fetching = Some(fetching.clone());
        lent.ok_or(fetching)
    }

    /// Begins a fetch, which goes on whether anybody waits for it or not.
    fn begin(self: &Arc<Self>, held: &mut Held, now: SystemTime) -> Fetching {
        let (done, fetching) = watch::channel(None);
        let (own, provider) = (self.clone(), held.provider.take());
        while held.tasks.try_join_next().is_some() {}
        held.tasks.spawn(async move {
            let fetch = tokio::time::timeout(FETCH_TIMEOUT, fetch(&own.chain, provider));
            let (fetched, hints) = hints::heard(fetch).await;
            let fetched = fetched.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(FETCH_TIMEOUT)));
            let fetched = fetched.map_err(|error| NoKeys { reason: hints.fold_into(said::causes(&error)) });
            let warning = (!hints.is_empty()).then(|| hints.to_string());
            done.send_replace(Some(own.lock().end(fetched, warning, now)));
        });
        fetching
    }
}

impl Held {
    /// Keeps what was fetched.
    fn end(
        &mut self,
        fetched: Result<(Credentials, SharedCredentialsProvider), NoKeys>,
        warning: Option<String>,
        now: SystemTime,
    ) -> Result<Lent, NoKeys> {
        let soonest = now + BETWEEN_REFRESHES;
        match fetched {
            Ok((credentials, provider)) => {
                self.fetches += 1;
                let expiry = credentials.expiry();
                let early = expiry.map_or(now + UNDATED, |expiry| expiry - EARLY);
                // Keys that come already close to their end are used to it, but not asked for at every call.
                let refresh_at = early.max(expiry.map_or(soonest, |expiry| soonest.min(expiry)));
                let lent = Lent { credentials, fetch: self.fetches };
                self.keys = Some(Dated { lent: lent.clone(), refresh_at, expiry });
                self.provider = Some(provider);
                if let Some(reason) = &warning
                    && self.told != warning
                {
                    tracing::warn!(reason, "credentials were fetched, but not everything about them is right");
                } else if self.told.is_some() && warning.is_none() {
                    tracing::info!("credentials are refreshed again");
                }
                self.told = warning;
                Ok(lent)
            }
            Err(error) => {
                if let Some(keys) = self.keys.as_mut().filter(|keys| keys.expiry.is_none_or(|expiry| now < expiry)) {
                    keys.refresh_at = keys.expiry.map_or(soonest, |expiry| soonest.min(expiry));
                    if self.told.is_none() {
                        tracing::warn!(
                            message_id = ids::CREDENTIALS_NOT_REFRESHED,
                            reason = error.reason,
                            "credentials cannot be refreshed; the old ones are used until they expire"
                        );
                        self.told = Some(error.reason.clone());
                    }
                }
                Err(error)
            }
        }
    }
}

/// Asks the provider, or a new chain. A chain that failed is not kept: the next one reads its files anew.
async fn fetch(
    chain: &Chain,
    provider: Option<SharedCredentialsProvider>,
) -> Result<(Credentials, SharedCredentialsProvider), CredentialsError> {
    let ready = match provider {
        Some(ready) => ready,
        None => chain().await.ok_or_else(CredentialsError::not_loaded_no_source)?,
    };
    Ok((ready.provide_credentials().await?, ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::provider::future::ProvideCredentials as Providing;
    use std::sync::Mutex as StdMutex;

    type Script = Arc<StdMutex<Vec<Result<Credentials, CredentialsError>>>>;

    #[derive(Clone, Debug)]
    struct Scripted(Script);

    impl ProvideCredentials for Scripted {
        fn provide_credentials<'a>(&'a self) -> Providing<'a>
        where
            Self: 'a,
        {
            Providing::ready(self.0.lock().unwrap().remove(0))
        }
    }

    fn keys(script: Vec<Result<Credentials, CredentialsError>>) -> (Keys, Script) {
        let script = Arc::new(StdMutex::new(script));
        let scripted = Scripted(script.clone());
        let chain: Chain = Arc::new(move || {
            let provider = SharedCredentialsProvider::new(scripted.clone());
            Box::pin(async move { Some(provider) })
        });
        (Keys::chain(chain), script)
    }

    fn key(id: &str, expiry: Option<SystemTime>) -> Credentials {
        Credentials::new(id, "secret", None, expiry, "test")
    }

    async fn id_at(keys: &Keys, now: SystemTime) -> String {
        keys.credentials(now).await.unwrap().credentials.access_key_id().to_owned()
    }

    /// Waits until a refresh beside calls has ended.
    async fn settled(keys: &Keys) {
        let Source::Chain(chained) = &keys.source else { return };
        let fetching = chained.lock().fetching.clone();
        if let Some(mut fetching) = fetching {
            fetching.wait_for(Option::is_some).await.unwrap();
        }
    }

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000)
    }

    #[tokio::test]
    async fn keys_are_kept_until_shortly_before_they_expire() {
        let hour = start() + Duration::from_secs(3600);
        let (keys, script) =
            keys(vec![Ok(key("one", Some(hour))), Ok(key("two", Some(hour + Duration::from_secs(3600))))]);
        assert_eq!(id_at(&keys, start()).await, "one");
        assert_eq!(id_at(&keys, hour - EARLY - Duration::from_secs(1)).await, "one");
        assert_eq!(script.lock().unwrap().len(), 1);
        assert_eq!(id_at(&keys, hour - EARLY).await, "one", "they are good while others are fetched");
        settled(&keys).await;
        assert_eq!(id_at(&keys, hour - EARLY).await, "two");
    }

    #[tokio::test]
    async fn a_failed_refresh_keeps_the_old_keys_while_they_are_good_and_no_longer() {
        let hour = start() + Duration::from_secs(3600);
        let refused = || Err(CredentialsError::not_loaded("no"));
        let (keys, script) = keys(vec![Ok(key("one", Some(hour))), refused(), refused(), Ok(key("two", None))]);
        assert_eq!(id_at(&keys, start()).await, "one");
        assert_eq!(id_at(&keys, hour - Duration::from_secs(30)).await, "one");
        settled(&keys).await;
        assert_eq!(id_at(&keys, hour - Duration::from_secs(29)).await, "one", "not asked again at every call");
        assert_eq!(script.lock().unwrap().len(), 2);
        assert!(keys.credentials(hour).await.is_err());
        assert_eq!(id_at(&keys, hour).await, "two");
    }

    #[tokio::test]
    async fn refused_keys_are_fetched_anew() {
        let (keys, _) = keys(vec![Ok(key("one", None)), Ok(key("two", None))]);
        let one = keys.credentials(start()).await.unwrap();
        keys.distrust(&one);
        assert_eq!(id_at(&keys, start()).await, "two");
    }

    /// Of 64 calls under way the first refusal fetched new keys, and each of the other 63 threw them away again.
    #[tokio::test]
    async fn a_late_refusal_of_old_keys_leaves_the_fresh_ones_alone() {
        let (keys, script) = keys(vec![Ok(key("one", None)), Ok(key("two", None)), Ok(key("three", None))]);
        let one = keys.credentials(start()).await.unwrap();
        keys.distrust(&one);
        assert_eq!(id_at(&keys, start()).await, "two");
        for _ in 0..63 {
            keys.distrust(&one);
            assert_eq!(id_at(&keys, start()).await, "two");
        }
        assert_eq!(script.lock().unwrap().len(), 1);
    }

    /// Answers once, and never again.
    #[derive(Debug)]
    struct Hanging(StdMutex<Option<Credentials>>);

    impl ProvideCredentials for Hanging {
        fn provide_credentials<'a>(&'a self) -> Providing<'a>
        where
            Self: 'a,
        {
            match self.0.lock().unwrap().take() {
                Some(credentials) => Providing::ready(Ok(credentials)),
                None => Providing::new(std::future::pending()),
            }
        }
    }

    /// An authority that did not answer stopped all calls for half a minute, a minute before the keys would expire.
    #[tokio::test(start_paused = true)]
    async fn no_call_waits_for_a_refresh_while_the_keys_are_good() {
        let hour = start() + Duration::from_secs(3600);
        let provider = SharedCredentialsProvider::new(Hanging(StdMutex::new(Some(key("one", Some(hour))))));
        let chain: Chain = Arc::new(move || {
            let provider = provider.clone();
            Box::pin(async move { Some(provider) })
        });
        let keys = Keys::chain(chain);
        assert_eq!(id_at(&keys, start()).await, "one");
        let before = tokio::time::Instant::now();
        for second in 0..60 {
            assert_eq!(id_at(&keys, hour - EARLY + Duration::from_secs(second)).await, "one");
        }
        assert_eq!(tokio::time::Instant::now(), before, "nobody waited");
        assert!(keys.credentials(hour).await.unwrap_err().reason.contains("timed out"));
    }

    #[tokio::test(start_paused = true)]
    async fn many_calls_without_keys_wait_for_one_fetch_and_one_that_leaves_does_not_end_it() {
        let (keys, script) = keys(vec![Ok(key("one", None)), Ok(key("two", None))]);
        let keys = Arc::new(keys);
        tokio::select! {
            biased;
            _ = keys.credentials(start()) => panic!("a fetch takes a task of its own"),
            () = std::future::ready(()) => {}
        }
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let keys = keys.clone();
            calls.spawn(async move { id_at(&keys, start()).await });
        }
        assert!(calls.join_all().await.iter().all(|id| id == "one"));
        assert_eq!(script.lock().unwrap().len(), 1);
    }
}
