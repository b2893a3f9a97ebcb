//! The regions of AWS, to find the one that was meant.
//! Promises nothing about a region that is not among them: new ones open. Leaves refusing what is no name to `access`.

use datalake_base::nearest::nearest;

/// As of 2026; https://docs.aws.amazon.com/general/latest/gr/rande.html lists them.
const KNOWN: [&str; 38] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// The known region that an unknown one may stand for; nothing for a known one, and for one that resembles none.
pub(super) fn meant(region: &str) -> Option<&'static str> {
    if KNOWN.contains(&region) {
        return None;
    }
    // `eu-central1`, `eucentral1`: without the dashes it is the same.
    let bare = |text: &str| text.replace('-', "");
    KNOWN.into_iter().find(|known| bare(known) == bare(region)).or_else(|| nearest(region, KNOWN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_region_finds_the_one_that_was_meant() {
        for (region, known) in [
            ("eu-central-1", None),
            ("eu-cental-1", Some("eu-central-1")),
            ("eucentral1", Some("eu-central-1")),
            ("us-east1", Some("us-east-1")),
            ("frankfurt", None),
        ] {
            assert_eq!(meant(region), known, "{region}");
        }
    }
}
