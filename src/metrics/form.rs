//! PutMetricData in the AWS query protocol: names and values of a form, each datum with its dimensions.
//! Promises that whatever a name holds, it stays one value.
//! Leaves the number of data in a call to the parent.

use super::data::{Datum, Unit};
use std::fmt::Write;

/// The form before its first datum.
pub(super) fn begin(namespace: &str) -> String {
    let mut form = String::from("Action=PutMetricData&Version=2010-08-01&Namespace=");
    escape(&mut form, namespace);
    form
}

/// Adds the datum with this number, counted from 1.
pub(super) fn add(form: &mut String, number: usize, datum: &Datum, destination: &str, instance: Option<&str>) {
    let Datum { name, unit, spread } = datum;
    let unit = match unit {
        Unit::Count => "Count",
        Unit::Bytes => "Bytes",
        Unit::Seconds => "Seconds",
    };
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        write!(form, "&MetricData.member.{number}.{name}=").expect("a string takes all that is written to it");
        escape(form, &value.to_string());
    };
    field("MetricName", name);
    field("Unit", &unit);
    field("StatisticValues.SampleCount", &spread.samples);
    field("StatisticValues.Sum", &spread.sum);
    field("StatisticValues.Minimum", &spread.minimum);
    field("StatisticValues.Maximum", &spread.maximum);
    field("Dimensions.member.1.Name", &"Destination");
    field("Dimensions.member.1.Value", &destination);
    if let Some(instance) = instance {
        field("Dimensions.member.2.Name", &"Instance");
        field("Dimensions.member.2.Value", &instance);
    }
}

fn escape(form: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            form.push(char::from(byte));
        } else {
            write!(form, "%{byte:02X}").expect("a string takes all that is written to it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_base::accounting::Spread;

    #[test]
    fn a_datum_becomes_its_fields_and_nothing_breaks_out_of_a_value() {
        let mut form = begin("A&B =ü");
        let spread = Spread { samples: 3, sum: 10_000_000_007, minimum: 3, maximum: 10_000_000_000 };
        let datum = Datum { name: "BytesSent", unit: Unit::Bytes, spread };
        add(&mut form, 7, &datum, "DeliveryStream:a", Some("i-1&x=y"));
        let expected = "Action=PutMetricData&Version=2010-08-01&Namespace=A%26B%20%3D%C3%BC\
            &MetricData.member.7.MetricName=BytesSent&MetricData.member.7.Unit=Bytes\
            &MetricData.member.7.StatisticValues.SampleCount=3&MetricData.member.7.StatisticValues.Sum=10000000007\
            &MetricData.member.7.StatisticValues.Minimum=3&MetricData.member.7.StatisticValues.Maximum=10000000000\
            &MetricData.member.7.Dimensions.member.1.Name=Destination\
            &MetricData.member.7.Dimensions.member.1.Value=DeliveryStream%3Aa\
            &MetricData.member.7.Dimensions.member.2.Name=Instance\
            &MetricData.member.7.Dimensions.member.2.Value=i-1%26x%3Dy";
        assert_eq!(form, expected);
    }

    #[test]
    fn the_largest_call_stays_below_the_services_limit_of_a_megabyte() {
        let most = u64::MAX;
        let spread = Spread { samples: most, sum: most, minimum: most, maximum: most };
        let datum = Datum { name: "BytesDestroyedUnread", unit: Unit::Seconds, spread };
        let mut form = begin(&"ü".repeat(255));
        for number in 1..=super::super::DESTINATIONS_PER_CALL * 10 {
            add(&mut form, number, &datum, &format!("DeliveryStream:{}", "x".repeat(128)), Some(&"ü".repeat(64)));
        }
        assert!(form.len() < 1_000_000, "{}", form.len());
    }
}
