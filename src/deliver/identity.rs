//! The credentials in use: fetched when first needed, kept until shortly before they expire, thrown away when refused.
//! Promises at most one fetch at a time, and that a failed refresh keeps the old keys as long as they are good.
//! Leaves where credentials come from to the SDK's chain.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

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
    held: Mutex<Held>,
}

enum Source {
    Fixed(Credentials),
    Chain(Chain),
}

#[derive(Default)]
struct Held {
    provider: Option<SharedCredentialsProvider>,
    credentials: Option<Credentials>,
    /// Invariant: `refresh_at <= expiry`, where there is an expiry.
    refresh_at: Option<SystemTime>,
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
    pub(super) fn fixed(credentials: Credentials) -> Self {
        Self { source: Source::Fixed(credentials), held: Mutex::default() }
    }

    /// Keys out of a chain of providers, which is not asked before the first call.
    pub(super) fn chain(chain: Chain) -> Self {
        Self { source: Source::Chain(chain), held: Mutex::default() }
    }

    /// Keys that are good at `now`.
    ///
    /// # Errors
    /// When there are none and the chain gives none.
    pub(super) async fn credentials(&self, now: SystemTime) -> Result<Credentials, CredentialsError> {
        let chain = match &self.source {
            Source::Fixed(credentials) => return Ok(credentials.clone()),
            Source::Chain(chain) => chain,
        };
        let mut held = self.held.lock().await;
        if let Some(credentials) = &held.credentials
            && held.refresh_at.is_some_and(|refresh_at| now < refresh_at)
        {
            return Ok(credentials.clone());
        }
        let fetched = match tokio::time::timeout(FETCH_TIMEOUT, fetch(chain, &mut held.provider)).await {
            Ok(fetched) => fetched,
            Err(_) => Err(CredentialsError::provider_timed_out(FETCH_TIMEOUT)),
        };
        match fetched {
            Ok(credentials) => {
                held.expiry = credentials.expiry();
                let early = held.expiry.map_or(now + UNDATED, |expiry| expiry - EARLY);
                // Keys that come already close to their end are used to it, but not asked for at every call.
                let soonest = now + BETWEEN_REFRESHES;
                held.refresh_at = Some(early.max(held.expiry.map_or(soonest, |expiry| soonest.min(expiry))));
                held.credentials = Some(credentials.clone());
                Ok(credentials)
            }
            Err(error) => {
                if let Some(credentials) = held.credentials.clone()
                    && held.expiry.is_none_or(|expiry| now < expiry)
                {
                    tracing::warn!(reason = %error, "credentials cannot be refreshed; the old ones still hold");
                    let next = now + BETWEEN_REFRESHES;
                    held.refresh_at = Some(held.expiry.map_or(next, |expiry| next.min(expiry)));
                    return Ok(credentials);
                }
                Err(error)
            }
        }
    }

    /// The service refused these keys: fetch others before the next call, from files and environment as they are then.
    pub(super) async fn distrust(&self) {
        *self.held.lock().await = Held::default();
    }
}

async fn fetch(
    chain: &Chain,
    provider: &mut Option<SharedCredentialsProvider>,
) -> Result<Credentials, CredentialsError> {
    let ready = match provider.take() {
        Some(ready) => ready,
        None => chain().await.ok_or_else(CredentialsError::not_loaded_no_source)?,
    };
    let credentials = ready.provide_credentials().await?;
    // Kept only after success: a chain that failed is built anew, and so reads its files anew.
    *provider = Some(ready);
    Ok(credentials)
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
        keys.credentials(now).await.unwrap().access_key_id().to_owned()
    }

    #[tokio::test]
    async fn keys_are_kept_until_shortly_before_they_expire() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = start + Duration::from_secs(3600);
        let (keys, script) =
            keys(vec![Ok(key("one", Some(hour))), Ok(key("two", Some(hour + Duration::from_secs(3600))))]);
        assert_eq!(id_at(&keys, start).await, "one");
        assert_eq!(id_at(&keys, hour - EARLY - Duration::from_secs(1)).await, "one");
        assert_eq!(script.lock().unwrap().len(), 1);
        assert_eq!(id_at(&keys, hour - EARLY).await, "two");
    }

    #[tokio::test]
    async fn a_failed_refresh_keeps_the_old_keys_while_they_are_good_and_no_longer() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = start + Duration::from_secs(3600);
        let refused = || Err(CredentialsError::not_loaded("no"));
        let (keys, script) = keys(vec![Ok(key("one", Some(hour))), refused(), refused(), Ok(key("two", None))]);
        assert_eq!(id_at(&keys, start).await, "one");
        assert_eq!(id_at(&keys, hour - Duration::from_secs(30)).await, "one");
        assert_eq!(id_at(&keys, hour - Duration::from_secs(29)).await, "one", "not asked again at every call");
        assert_eq!(script.lock().unwrap().len(), 2);
        assert!(keys.credentials(hour).await.is_err());
        assert_eq!(id_at(&keys, hour).await, "two");
    }

    #[tokio::test]
    async fn refused_keys_are_fetched_anew() {
        let (keys, _) = keys(vec![Ok(key("one", None)), Ok(key("two", None))]);
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(id_at(&keys, now).await, "one");
        keys.distrust().await;
        assert_eq!(id_at(&keys, now).await, "two");
    }
}
