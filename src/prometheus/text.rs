//! Accounting in, text out: OpenMetrics, which Prometheus reads too.
//! Promises names by the conventions of Prometheus (base units, `_total`), the same series at every question, and a bounded
//! number of them: some for the agent, some for each flow up to a limit, none for a file. Leaves the meaning of each number
//! to the accounting.

use datalake_base::accounting::{Accounting, Stage};
use datalake_mqtt::counters::{Counters, Subscription};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt::Error;
use std::sync::Arc;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Flows with series of their own; the others are counted.
pub const MOST_FLOWS: usize = 256;
/// Each name begins with this.
const PREFIX: &str = "datalake_agent";

/// A flow as it is when somebody asks.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name.
    pub flow: String,
    /// The stream that it feeds.
    pub stream: String,
    /// Its numbers.
    pub books: Arc<Accounting>,
    /// What came from the broker, where it receives messages.
    pub messages: Option<Arc<Counters>>,
    /// Whether it waits for the operator.
    pub paused: bool,
}

/// Everything as it is when somebody asks.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The flows.
    pub flows: Vec<Seen>,
    /// Now, in milliseconds since 1970.
    pub now: u64,
    /// When the process began, in milliseconds since 1970.
    pub begun: u64,
    /// A hash of the configuration that runs.
    pub configuration: String,
    /// Whether the newest reload was refused.
    pub reload_failed: bool,
    /// For how long positions cannot be saved, in seconds; 0 while they can.
    pub unsaved_seconds: f64,
}

/// A number of a flow.
struct Family {
    name: &'static str,
    unit: Option<Unit>,
    help: &'static str,
    value: Value,
}

/// How it is read, and what it is.
enum Value {
    /// Only grows.
    Counter(fn(&Accounting) -> u64),
    /// Goes up and down.
    Gauge(fn(&Seen) -> u64),
}

use Value::{Counter, Gauge};

const FAMILIES: [Family; 20] = [
    Family {
        name: "read",
        unit: Some(Unit::Bytes),
        help: "Bytes read from files or the spool.",
        value: Counter(|books| books.read.value()),
    },
    Family {
        name: "delivered",
        unit: Some(Unit::Bytes),
        help: "Bytes of input that the service accepted.",
        value: Counter(|books| books.delivered.value()),
    },
    Family {
        name: "filtered",
        unit: Some(Unit::Bytes),
        help: "Bytes of input left out because the configuration says so.",
        value: Counter(|books| books.filtered.value()),
    },
    Family {
        name: "quarantined",
        unit: Some(Unit::Bytes),
        help: "Bytes of input kept in the quarantine.",
        value: Counter(|books| books.quarantined.value()),
    },
    Family {
        name: "billed",
        unit: Some(Unit::Bytes),
        help: "Bytes that the service bills.",
        value: Counter(|books| books.billed.value()),
    },
    Family {
        name: "delivered_lines",
        unit: None,
        help: "Lines that the service accepted.",
        value: Counter(|books| books.lines.value()),
    },
    Family {
        name: "delivered_records",
        unit: None,
        help: "Records that the service accepted.",
        value: Counter(|books| books.records.value()),
    },
    Family {
        name: "calls",
        unit: None,
        help: "Calls that were answered, whatever the answer.",
        value: Counter(|books| books.calls.value()),
    },
    Family {
        name: "retried_records",
        unit: None,
        help: "Records that had to be sent again.",
        value: Counter(|books| books.retried.value()),
    },
    Family {
        name: "possibly_duplicated_records",
        unit: None,
        help: "Records sent again after an answer that left open whether they had arrived.",
        value: Counter(|books| books.possibly_duplicated.value()),
    },
    Family {
        name: "quarantined_records",
        unit: None,
        help: "Records kept in the quarantine.",
        value: Counter(|books| books.quarantined_records.value()),
    },
    Family {
        name: "unprocessed_records",
        unit: None,
        help: "Records that dataProcessingOptions could not work on, whatever became of them.",
        value: Counter(|books| books.unprocessed.value()),
    },
    Family {
        name: "backlog",
        unit: Some(Unit::Bytes),
        help: "Bytes on disk that are not settled yet.",
        value: Gauge(|seen| seen.books.unsettled.value()),
    },
    Family {
        name: "destroyed_unread",
        unit: Some(Unit::Bytes),
        help: "Bytes destroyed before they could be read, less those found again in a copy.",
        value: Gauge(|seen| seen.books.destroyed.value()),
    },
    Family {
        name: "skipped",
        unit: Some(Unit::Bytes),
        help: "Bytes left out on purpose: holes in files, archives that are not read.",
        value: Counter(|books| books.skipped.value()),
    },
    Family {
        name: "files",
        unit: None,
        help: "Files that the flow follows.",
        value: Gauge(|seen| seen.books.files.value()),
    },
    Family {
        name: "unreadable_files",
        unit: None,
        help: "Files that cannot be opened or read.",
        value: Gauge(|seen| seen.books.denials.value()),
    },
    Family {
        name: "paused",
        unit: None,
        help: "1 while the flow waits for the operator.",
        value: Gauge(|seen| u64::from(seen.paused)),
    },
    Family {
        name: "steps",
        unit: None,
        help: "Grows whenever the flow gets on.",
        value: Counter(|books| books.progress.value()),
    },
    Family {
        name: "idle",
        unit: None,
        help: "1 while the flow has nothing to do.",
        value: Gauge(|seen| seen.books.idle.value()),
    },
];

/// Reads a number of a subscription.
type ReadMessages = fn(&Subscription) -> u64;

/// What became of the messages of an MQTT flow, all subscriptions together.
const MESSAGES: [(&str, &str, ReadMessages); 5] = [
    ("mqtt_received_messages", "Messages that arrived, each arrival counted.", |of| of.received.value()),
    ("mqtt_redelivered_messages", "Messages that the broker had sent before.", |of| of.redelivered.value()),
    ("mqtt_acknowledged_messages", "Messages that were synced to the spool and acknowledged.", |of| {
        of.acknowledged.value()
    }),
    ("mqtt_refused_messages", "Messages whose payload could not be a line.", |of| of.refused.value()),
    ("mqtt_dropped_messages", "Messages that were not kept.", |of| of.dropped.value()),
];

impl Snapshot {
    /// The text.
    #[must_use]
    pub fn text(self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        let mut text = String::with_capacity(4096 + self.flows.len().min(MOST_FLOWS) * 4096);
        registry.register_collector(Box::new(self));
        // Writing into memory does not fail.
        text::encode(&mut text, &registry).ok();
        text
    }

    fn shown(&self) -> impl Iterator<Item = &Seen> {
        self.flows.iter().take(MOST_FLOWS)
    }

    fn about_the_agent(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        // As gauges: collectors that do not know OpenMetrics know no kind `info`.
        let one = ConstGauge::new(1u64);
        let build = [
            ("version", env!("CARGO_PKG_VERSION")),
            ("commit", env!("DATALAKE_COMMIT")),
            ("target", env!("DATALAKE_TARGET")),
        ];
        let mut family = encoder.encode_descriptor("build_info", "What runs.", None, one.metric_type())?;
        one.encode(family.encode_family(&build)?)?;
        let what = "The configuration that runs: the beginning of the SHA-256 of its files.";
        let mut family = encoder.encode_descriptor("configuration_info", what, None, one.metric_type())?;
        one.encode(family.encode_family(&[("hash", self.configuration.as_str())])?)?;
        let seconds = Some(&Unit::Seconds);
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit")]
        let begun = self.begun as f64 / 1000.0;
        gauge(encoder, "start_time", "When the process began, since 1970.", seconds, begun)?;
        let what = "1 when the newest reload was refused, so that the configuration before it runs.";
        gauge(encoder, "reload_failed", what, None, f64::from(u8::from(self.reload_failed)))?;
        let what = "For how long positions cannot be saved; 0 while they can.";
        gauge(encoder, "positions_unsaved", what, seconds, self.unsaved_seconds)?;
        #[expect(clippy::cast_precision_loss, reason = "few")]
        let (all, left_out) = (self.flows.len() as f64, self.flows.len().saturating_sub(MOST_FLOWS) as f64);
        gauge(encoder, "flows", "Flows of the configuration.", None, all)?;
        gauge(encoder, "flows_without_metrics", "Flows beyond the limit, without series of their own.", None, left_out)
    }

    /// Age of the oldest line, and time spent waiting by what the flow waited for.
    fn about_time(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let seconds = Some(&Unit::Seconds);
        let age = ConstGauge::new(0.0);
        let what = "Age of the oldest line that was read and is not settled; 0 when there is none.";
        let mut family = encoder.encode_descriptor("oldest_unsettled", what, seconds, age.metric_type())?;
        for seen in self.shown() {
            let read_at = seen.books.oldest_unsettled.value();
            let age = if read_at == 0 { 0 } else { self.now.saturating_sub(read_at) };
            ConstGauge::new(to_seconds(age)).encode(family.encode_family(&labels(seen))?)?;
        }
        let kind = ConstCounter::new(0.0).metric_type();
        let what = "Time in which the flow could not do more, by what kept it.";
        let mut family = encoder.encode_descriptor("limited", what, seconds, kind)?;
        for seen in self.shown() {
            for (stage, gauge) in Stage::ALL.into_iter().zip(&seen.books.limited_by) {
                let [flow, stream] = labels(seen);
                let value = ConstCounter::new(to_seconds(gauge.value()));
                value.encode(family.encode_family(&[flow, stream, ("by", stage.name())])?)?;
            }
        }
        Ok(())
    }

    fn about_messages(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
        let receiving = || self.shown().filter_map(|seen| Some((seen, seen.messages.as_ref()?)));
        if receiving().next().is_none() {
            return Ok(());
        }
        let kind = ConstCounter::new(0u64).metric_type();
        for (name, help, read) in MESSAGES {
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for (seen, counters) in receiving() {
                let sum = counters.subscriptions.iter().map(read).sum::<u64>();
                ConstCounter::new(sum).encode(family.encode_family(&labels(seen))?)?;
            }
        }
        let bytes = Some(&Unit::Bytes);
        let gauge = ConstGauge::new(0u64).metric_type();
        let mut family =
            encoder.encode_descriptor("mqtt_spool", "Bytes in the spool that are not settled.", bytes, gauge)?;
        for (seen, counters) in receiving() {
            ConstGauge::new(counters.spool_bytes.value()).encode(family.encode_family(&labels(seen))?)?;
        }
        Ok(())
    }
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        self.about_the_agent(&mut encoder)?;
        for Family { name, unit, help, value } in &FAMILIES {
            let kind = match value {
                Counter(_) => ConstCounter::new(0u64).metric_type(),
                Gauge(_) => ConstGauge::new(0u64).metric_type(),
            };
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            for seen in self.shown() {
                let labels = labels(seen);
                let one = family.encode_family(&labels)?;
                match value {
                    Counter(read) => ConstCounter::new(read(&seen.books)).encode(one)?,
                    Gauge(read) => ConstGauge::new(read(seen)).encode(one)?,
                }
            }
        }
        self.about_time(&mut encoder)?;
        self.about_messages(&mut encoder)
    }
}

fn labels(seen: &Seen) -> [(&str, &str); 2] {
    [("flow", &seen.flow), ("stream", &seen.stream)]
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    value: f64,
) -> Result<(), Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
}

fn to_seconds(milliseconds: u64) -> f64 {
    std::time::Duration::from_millis(milliseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(flows: usize) -> Snapshot {
        let seen = |number: usize| Seen {
            flow: format!("flow-{number}"),
            stream: "logs".to_owned(),
            books: Arc::default(),
            messages: None,
            paused: number == 1,
        };
        Snapshot {
            flows: (0..flows).map(seen).collect(),
            now: 10_000,
            begun: 1_500,
            configuration: "0123abcd".to_owned(),
            reload_failed: false,
            unsaved_seconds: 0.0,
        }
    }

    #[test]
    fn each_number_of_the_accounting_is_a_series_of_its_flow() {
        let snapshot = snapshot(2);
        let books = &snapshot.flows[0].books;
        books.read.set(7);
        books.unsettled.set(9);
        books.oldest_unsettled.set(8_500);
        books.limited_by[4].set(2_500);
        let text = snapshot.text();
        for line in [
            "datalake_agent_configuration_info{hash=\"0123abcd\"} 1",
            "datalake_agent_start_time_seconds 1.5",
            "datalake_agent_flows 2.0",
            "# TYPE datalake_agent_read_bytes counter",
            "datalake_agent_read_bytes_total{flow=\"flow-0\",stream=\"logs\"} 7",
            "datalake_agent_read_bytes_total{flow=\"flow-1\",stream=\"logs\"} 0",
            "datalake_agent_backlog_bytes{flow=\"flow-0\",stream=\"logs\"} 9",
            "datalake_agent_oldest_unsettled_seconds{flow=\"flow-0\",stream=\"logs\"} 1.5",
            "datalake_agent_oldest_unsettled_seconds{flow=\"flow-1\",stream=\"logs\"} 0.0",
            "datalake_agent_limited_seconds_total{flow=\"flow-0\",stream=\"logs\",by=\"quota\"} 2.5",
            "datalake_agent_paused{flow=\"flow-1\",stream=\"logs\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(!text.contains("mqtt"), "no flow receives messages");
    }

    #[test]
    fn messages_are_counted_over_all_subscriptions() {
        let mut snapshot = snapshot(1);
        let mut counters = Counters::default();
        counters.subscriptions = vec![Subscription::default(), Subscription::default()];
        counters.subscriptions[0].received.set(2);
        counters.subscriptions[1].received.set(3);
        snapshot.flows[0].messages = Some(Arc::new(counters));
        let text = snapshot.text();
        assert!(
            text.contains("datalake_agent_mqtt_received_messages_total{flow=\"flow-0\",stream=\"logs\"} 5\n"),
            "{text}"
        );
    }

    #[test]
    fn however_many_flows_there_are_the_number_of_series_has_a_limit() {
        let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        let most = snapshot(MOST_FLOWS).text();
        let more = snapshot(MOST_FLOWS * 4).text();
        assert_eq!(series(&most), series(&more));
        assert!(more.contains("datalake_agent_flows_without_metrics 768.0\n"));
        assert!(more.len() < 2 << 20, "{} bytes", more.len());
    }
}
