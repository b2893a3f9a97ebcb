//! Region, endpoint, credentials: the SDK client.

/// Where and as whom to call the service; `None` leaves it to the SDK's chain.
#[derive(Clone, Default)]
pub struct Settings {
    /// Region of the stream.
    pub region: Option<String>,
    /// Another endpoint than the region's own, with scheme.
    pub firehose_endpoint: Option<String>,
    /// Access key id and secret from the configuration file.
    pub access_key: Option<(String, String)>,
}

impl std::fmt::Debug for Settings {
    /// Never shows the secret.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("region", &self.region)
            .field("firehose_endpoint", &self.firehose_endpoint)
            .field("access_key", &self.access_key.as_ref().map(|(id, _)| id))
            .finish()
    }
}
