//! Where and as whom to call: endpoints, regions, keys, roles.
//! Promises that what is taken can be called, and that keys lie where not everybody can read them.
//! Leaves whether anybody answers, and lets us in, to the session.

use super::regions;
use crate::config::endpoint;
use crate::config::keys::Written;
use crate::config::report::{Kind, Placed, Report, quoted};
use crate::deliver::credentials::Role;
use crate::deliver::session::Settings;
use std::path::PathBuf;

/// The settings of all sessions.
pub(super) fn prove(written: &Written, world_readable: bool, report: &mut Report) -> Settings {
    let given = [&written.firehose_endpoint, &written.kinesis_endpoint, &written.sts_endpoint];
    if (written.fips || written.dual_stack)
        && let Some(endpoint) = given.into_iter().flatten().next()
    {
        let message = format!("`{}` stands beside `useFipsEndpoint` or `useDualStackEndpoint`", endpoint.at.path);
        report.add(
            Kind::Conflict,
            &endpoint.at,
            message,
            "name such an endpoint here, or leave it out and give `region`",
        );
    }
    let mut endpoint = |given: &Option<Placed<String>>| given.as_ref().and_then(|given| prove_endpoint(given, report));
    let firehose_endpoint = endpoint(&written.firehose_endpoint);
    let kinesis_endpoint = endpoint(&written.kinesis_endpoint);
    let sts_endpoint = endpoint(&written.sts_endpoint);
    Settings {
        region: written.region.as_ref().and_then(|region| prove_region(region, report)),
        firehose_endpoint,
        kinesis_endpoint,
        kinesis_region: written.kinesis_region.as_ref().and_then(|region| prove_region(region, report)),
        sts_endpoint,
        access_key: prove_access_key(written, world_readable, report),
        role: prove_role(written.role.as_ref(), written.external_id.as_ref(), report),
        fips: written.fips,
        dual_stack: written.dual_stack,
        ca_bundle: written.ca_bundle.as_ref().map(|given| prove_file(given, report)),
    }
}

fn prove_file(given: &Placed<String>, report: &mut Report) -> PathBuf {
    if !given.value.starts_with('/') || given.value.contains('\0') {
        let message = format!("`{}` is {}, which is not an absolute path", given.at.path, quoted(&given.value));
        report.add(Kind::BadPath, &given.at, message, "begin with a slash, such as \"/etc/ssl/own.pem\"");
    }
    PathBuf::from(&given.value)
}

/// A role, and the id that belongs to it.
pub(super) fn prove_role(
    arn: Option<&Placed<String>>,
    external_id: Option<&Placed<String>>,
    report: &mut Report,
) -> Option<Role> {
    let Some(arn) = arn else {
        if let Some(id) = external_id {
            let message = format!("`{}` has no effect without `assumeRoleARN` beside it", id.at.path);
            report.add(Kind::NoEffect, &id.at, message, "remove it, or name the role");
        }
        return None;
    };
    // arn:PARTITION:iam::ACCOUNT:role/NAME
    let parts: Vec<&str> = arn.value.splitn(6, ':').collect();
    let good = matches!(parts[..], ["arn", _, "iam", "", account, role]
        if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && role.starts_with("role/"));
    if !good {
        let message = format!("`{}` is {}, which is no ARN of a role", arn.at.path, quoted(&arn.value));
        report.add(
            Kind::BadName,
            &arn.at,
            message,
            "write it as IAM shows it: \"arn:aws:iam::111122223333:role/NAME\"",
        );
    }
    Some(Role { arn: arn.value.clone(), external_id: external_id.map(|id| id.value.clone()) })
}

pub(super) fn prove_endpoint(given: &Placed<String>, report: &mut Report) -> Option<String> {
    match endpoint::parse(&given.value) {
        Ok(endpoint) => {
            if endpoint.exposed {
                let message =
                    format!("`{}` is {}: lines cross the network unencrypted", given.at.path, quoted(&given.value));
                report.add(Kind::PlainHttp, &given.at, message, "use https://, unless this is a test");
            }
            Some(endpoint.url)
        }
        Err(help) => {
            let message = format!("`{}` is {}, which is no address of a service", given.at.path, quoted(&given.value));
            report.add(Kind::BadEndpoint, &given.at, message, help);
            None
        }
    }
}

pub(super) fn prove_region(given: &Placed<String>, report: &mut Report) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if given.value.len() <= 64 && given.value.bytes().all(plain) {
        if let Some(known) = regions::meant(&given.value) {
            let message = format!("`{}` is {}, which is no region that we know", given.at.path, quoted(&given.value));
            report.add(Kind::UnknownRegion, &given.at, message, format!("did you mean \"{known}\"?"));
        }
        return Some(given.value.clone());
    }
    let message = format!("`{}` is {}, which is no name of a region", given.at.path, quoted(&given.value));
    report.add(Kind::BadName, &given.at, message, "write it as AWS does, such as \"eu-central-1\"");
    None
}

fn prove_access_key(written: &Written, world_readable: bool, report: &mut Report) -> Option<(String, String)> {
    match (&written.access_key_id, &written.secret_access_key) {
        (None, None) => None,
        (Some(id), Some(secret)) => {
            if world_readable {
                let message = format!("everybody on this machine can read `{}`", secret.at.path);
                let help = "run `chmod o-rwx` on the file, or better use the AWS credential chain";
                report.add(Kind::Exposed, &secret.at, message, help);
            }
            Some((id.value.clone(), secret.value.clone()))
        }
        (Some(given), None) | (None, Some(given)) => {
            let missing = if written.access_key_id.is_none() { "awsAccessKeyId" } else { "awsSecretAccessKey" };
            let message = format!("`{}` is given without `{missing}`", given.at.path);
            report.add(Kind::Missing, &given.at, message, "give both, or neither to use the AWS credential chain");
            None
        }
    }
}
