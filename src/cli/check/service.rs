//! The service as systemd runs it: user, groups, what its unit hides, its environment.
//! Promises to say what the installed unit and its drop-ins say, in the order in which systemd reads them.
//! Leaves what follows for files to the check.

use crate::cli::arguments::CONFIGURATION;
use crate::source::file::access::User;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const UNIT: &str = "datalake-agent.service";
/// Where units lie, the first found wins; drop-ins are read from all of them.
const FOLDERS: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// A file larger than this is none of those read here.
const LARGEST: u64 = 1 << 20;

/// The installed service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Service {
    /// The name of its user.
    pub(super) name: String,
    /// Its user and groups.
    pub(super) user: Option<User>,
    /// The home folder of its user.
    pub(super) home: Option<PathBuf>,
    /// The configuration that it is started with.
    pub(super) config: PathBuf,
    /// Whether it may read every file of the machine.
    pub(super) reads_everything: bool,
    /// Folders that it does not see, and the drop-in that shows them.
    pub(super) hidden: Vec<(&'static str, &'static str)>,
    /// Files with its environment that are there.
    pub(super) environment: Vec<PathBuf>,
}

impl Service {
    /// The service installed below this folder, which is `/` but in tests.
    pub(super) fn installed(root: &Path) -> Option<Self> {
        let mut settings = Settings::default();
        let folders = FOLDERS.map(|folder| root.join(folder));
        let unit = folders.iter().map(|folder| folder.join(UNIT)).find(|path| path.is_file())?;
        settings.read(&text(&unit)?);
        for drop_in in drop_ins(&folders) {
            settings.read(&text(&drop_in).unwrap_or_default());
        }
        let name = settings.last("User").unwrap_or("root").to_owned();
        let passwd = text(&root.join("etc/passwd")).unwrap_or_default();
        let account = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name);
        let user = account.as_ref().and_then(|fields| {
            let group = text(&root.join("etc/group")).unwrap_or_default();
            let own = [fields.get(3)?.parse().ok()?];
            let groups = own.into_iter().chain(groups_of(&group, &name, &settings.all("SupplementaryGroups")));
            Some(User { uid: fields.get(2)?.parse().ok()?, groups: groups.collect() })
        });
        let mut hidden = Vec::new();
        if settings.last("ProtectHome").is_some_and(|value| matches!(value, "yes" | "true" | "1" | "on" | "tmpfs")) {
            hidden.extend(["/home/", "/root/", "/run/user/"].map(|folder| (folder, "home-folders.conf")));
        }
        if settings.last("PrivateTmp").is_some_and(|value| !matches!(value, "no" | "false" | "0" | "off")) {
            hidden.extend(["/tmp/", "/var/tmp/"].map(|folder| (folder, "tmp.conf")));
        }
        let ambient = settings.all("AmbientCapabilities");
        let environment =
            settings.all("EnvironmentFile").into_iter().map(|path| root.join(path.trim_start_matches(['-', '/'])));
        Some(Self {
            home: account.and_then(|fields| fields.get(5).map(PathBuf::from)),
            user,
            config: configuration(settings.last("ExecStart").unwrap_or_default()),
            reads_everything: name == "root" || ambient.contains(&"CAP_DAC_READ_SEARCH"),
            hidden,
            environment: environment.filter(|path| path.is_file()).collect(),
            name,
        })
    }

    /// The drop-in that shows the path, where the unit hides it.
    pub(super) fn shows(&self, path: &Path) -> Option<&'static str> {
        self.hidden.iter().find(|(folder, _)| path.starts_with(folder)).map(|(_, drop_in)| *drop_in)
    }

    /// Its environment: names and values of its files, the last one of a name wins.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        self.environment.iter().filter_map(|path| text(path)).flat_map(|text| variables(&text)).collect()
    }
}

/// Keys of `[Service]`, each with its values in order.
#[derive(Default)]
struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    fn read(&mut self, text: &str) {
        let joined = text.replace("\\\n", " ");
        let mut inside = false;
        for line in joined.lines().map(str::trim) {
            if line.starts_with('[') {
                inside = line == "[Service]";
            } else if inside
                && !line.starts_with(['#', ';'])
                && let Some((key, value)) = line.split_once('=')
            {
                let values = self.0.entry(key.trim().to_owned()).or_default();
                // An empty value forgets those before it.
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.last().map(String::as_str)
    }

    /// The words of all values.
    fn all(&self, key: &str) -> Vec<&str> {
        self.0.get(key).into_iter().flatten().flat_map(|value| value.split_whitespace()).collect()
    }
}

fn text(path: &Path) -> Option<String> {
    let (bytes, _) = crate::regular::read(path, LARGEST).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Drop-ins in the order of their names; one of a folder named earlier hides its namesakes.
fn drop_ins(folders: &[PathBuf]) -> Vec<PathBuf> {
    let mut found: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for folder in folders {
        let entries = std::fs::read_dir(folder.join(format!("{UNIT}.d"))).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "conf")) {
            found.entry(path.file_name().unwrap_or_default().to_owned()).or_insert(path);
        }
    }
    found.into_values().collect()
}

/// The numbers of these groups, and of those that list the user.
fn groups_of(text: &str, user: &str, names: &[&str]) -> Vec<u32> {
    let mut groups = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, number, members] = fields[..] else { continue };
        if names.contains(&name) || members.split(',').any(|member| member == user) {
            groups.extend(number.parse::<u32>().ok());
        }
    }
    groups
}

/// What stands behind `--config` in the command of the service, else the usual place.
fn configuration(command: &str) -> PathBuf {
    let mut words = command.split_whitespace();
    let given = words.find_map(|word| match word.strip_prefix("--config") {
        Some("") => Some(None),
        Some(rest) => rest.strip_prefix('=').map(Some),
        None => None,
    });
    PathBuf::from(match given {
        Some(Some(path)) => path,
        Some(None) => words.next().unwrap_or(CONFIGURATION),
        None => CONFIGURATION,
    })
}

/// `NAME=VALUE` lines as systemd reads them: comments, quotes around values.
fn variables(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Some((name.trim().to_owned(), bare.unwrap_or(value).to_owned()))
    };
    lines.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const PASSWD: (&str, &str) =
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\nagent:x:990:980::/var/lib/agent:/sbin/nologin\n");
    const GROUP: (&str, &str) = ("etc/group", "root:x:0:\nadm:x:4:syslog\napp:x:70:agent,other\nagent:x:980:\n");
    const WHOLE: &str = "[Unit]\nUser=nobody\n[Service]\nUser=agent\nSupplementaryGroups=adm\nProtectHome=yes\nPrivateTmp=yes\n\
        ExecStart=/usr/bin/datalake-agent run --config /etc/datalake/agent.json\nEnvironmentFile=-/etc/datalake/agent.env\n";

    #[test]
    fn the_unit_says_as_whom_the_agent_runs_and_what_it_does_not_see() {
        let root = root(&[PASSWD, GROUP, ("usr/lib/systemd/system/datalake-agent.service", WHOLE)]);
        let service = Service::installed(root.path()).unwrap();
        assert_eq!(
            (service.name.as_str(), service.user.clone()),
            ("agent", Some(User { uid: 990, groups: vec![980, 4, 70] }))
        );
        assert_eq!(service.config, Path::new("/etc/datalake/agent.json"));
        assert!(!service.reads_everything && service.environment.is_empty());
        assert_eq!(service.shows(Path::new("/home/a/x.log")), Some("home-folders.conf"));
        assert_eq!(
            (service.shows(Path::new("/tmp/x.log")), service.shows(Path::new("/var/log/x.log"))),
            (Some("tmp.conf"), None)
        );
        assert_eq!(Service::installed(&root.path().join("etc")), None);
    }

    #[test]
    fn drop_ins_change_it_in_the_order_of_their_names() {
        let root = root(&[
            PASSWD,
            GROUP,
            ("usr/lib/systemd/system/datalake-agent.service", WHOLE),
            (
                "etc/systemd/system/datalake-agent.service.d/all-logs.conf",
                "[Service]\nAmbientCapabilities=CAP_DAC_READ_SEARCH\n",
            ),
            (
                "etc/systemd/system/datalake-agent.service.d/tmp.conf",
                "[Service]\nPrivateTmp=no\nProtectHome=read-only\n",
            ),
            (
                "etc/systemd/system/datalake-agent.service.d/z.conf",
                "[Service]\nSupplementaryGroups=\nExecStart=\nExecStart=/x run \\\n --config=/y.json\n",
            ),
            ("etc/datalake/agent.env", "# proxy\nHTTPS_PROXY=\"http://p:3128\"\nAWS_PROFILE='prod'\nA=b=c\n"),
        ]);
        let service = Service::installed(root.path()).unwrap();
        assert!(service.reads_everything && service.hidden.is_empty());
        assert_eq!(service.user.clone().unwrap().groups, [980, 70]);
        assert_eq!(service.config, Path::new("/y.json"));
        let variables = service.variables();
        assert_eq!(
            (variables["HTTPS_PROXY"].as_str(), variables["AWS_PROFILE"].as_str(), variables["A"].as_str()),
            ("http://p:3128", "prod", "b=c")
        );
    }
}
