//! Configuration files as data: every example compiles without a warning; every file in `good/` compiles with
//! the warnings in its `.warn` file; every file in `bad/` gives exactly the errors in its `.err` file. With `BLESS=1` in the
//! environment the expectations are written instead of compared.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot read its files has failed"
)]

mod defaults;
mod json_schema;
mod properties;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use rcgen::{CertifiedKey, KeyPair};

use gateway::{
    config::{
        self, Compiled, ConfigError, Warning,
        compiled::CredentialKind,
        secrets::{SecretError, SecretSource},
    },
    secret::Secret,
};

/// Every environment variable is set except those named `UNSET…`; every file is there except those named
/// `missing`. No value may appear in a message.
struct Fake;

const SECRET: &str = "hunter2";

impl SecretSource for Fake {
    fn env(&self, name: &str) -> Result<Secret, SecretError> {
        match name {
            "EMPTY" => Ok(Secret::new(String::new())),
            "TWO_LINES" => Ok(Secret::new(format!("{SECRET}\n{SECRET}"))),
            _ if name.to_ascii_uppercase().contains("UNSET") => Err(SecretError::Absent),
            _ => Ok(Secret::new(format!("{SECRET}-{name}"))),
        }
    }

    fn file(&self, path: &Path) -> Result<Secret, SecretError> {
        if path.ends_with("missing") {
            return Err(SecretError::Unreadable("no such file".to_owned()));
        }
        if path.extension().is_some_and(|extension| extension == "pem") {
            return Ok(Secret::new(pem(path)));
        }
        Ok(Secret::new(format!("{SECRET}-{}", path.display())))
    }

    fn credential(&self, name: &str) -> Result<Secret, SecretError> {
        match name {
            "not-passed" => Err(SecretError::Absent),
            _ => self.file(Path::new(name)),
        }
    }
}

/// A certificate, or the key of it where the file is called so.
fn pem(path: &Path) -> String {
    static PAIR: LazyLock<CertifiedKey<KeyPair>> =
        LazyLock::new(|| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    static OTHER: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());
    let name = path.file_stem().unwrap().to_string_lossy();
    if name.ends_with("other-key") {
        OTHER.serialize_pem()
    } else if name.ends_with("key") {
        PAIR.signing_key.serialize_pem()
    } else {
        PAIR.cert.pem()
    }
}

#[test]
fn bad_files_give_exactly_their_errors() {
    for path in yaml_files("gateway/tests/it/config/bad") {
        let text = fs::read_to_string(&path).unwrap();
        let errors = config::compile(&text, &Fake).err();
        let errors = errors.unwrap_or_else(|| panic!("{} compiled", path.display()));
        let rendered: Vec<_> = errors
            .iter()
            .map(|error| error.render("conf.yaml"))
            .collect();
        assert!(
            !rendered.concat().contains(SECRET),
            "a secret is shown: {rendered:#?}"
        );
        expect(&path.with_extension("err"), &rendered);
    }
}

#[test]
fn good_files_and_examples_compile_with_exactly_their_warnings() {
    for path in good_files() {
        let (_, warnings) = compile(&path);
        let rendered: Vec<_> = warnings
            .iter()
            .map(|warning| warning.render("conf.yaml"))
            .collect();
        assert!(
            !rendered.concat().contains(SECRET),
            "a secret is shown: {rendered:#?}"
        );
        if path.starts_with(root().join("conf")) {
            assert!(rendered.is_empty(), "an example warns: {rendered:#?}");
        } else {
            expect(&path.with_extension("warn"), &rendered);
        }
    }
}

#[test]
fn compiling_the_same_text_again_gives_an_equal_value() {
    for path in good_files() {
        assert_eq!(compile(&path), compile(&path), "{}", path.display());
    }
}

#[test]
fn the_table_shows_each_pool_with_shares() {
    let (compiled, _) = compile(&root().join("conf/azure.yaml"));
    let table = config::table::pools(&compiled);
    expect(
        &root().join("gateway/tests/it/config/azure.table"),
        &[table.trim_end().to_owned()],
    );
}

#[test]
fn a_file_that_is_not_there_is_reported_with_its_name() {
    let report = config::from_file(Path::new("no-such-folder/conf.yaml")).unwrap_err();
    assert!(
        report.to_string().starts_with("no-such-folder/conf.yaml: "),
        "{report}"
    );
}

#[test]
fn a_file_with_mistakes_is_reported_line_by_line() {
    let path = root().join("gateway/tests/it/config/bad/names.yaml");
    let report = config::from_file(&path).unwrap_err().to_string();
    let start = format!("{}:", path.display());
    assert!(report.lines().count() > 1, "{report}");
    assert!(
        report.lines().all(|line| line.starts_with(&start)),
        "{report}"
    );
}

#[test]
fn key_files_lie_beside_the_configuration_and_end_where_their_line_ends() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config-key-files");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("key"), "a-key\n").unwrap();
    let text = "{version: 1, open: true, listen: [{address: '127.0.0.1:1'}],
        credentials: {c: {bearer: {file: key}}},
        endpoints: {e: {url: 'https://e', credential: c, deployments: {m: }}}}";
    fs::write(folder.join("conf.yaml"), text).unwrap();

    let loaded = config::from_file(&folder.join("conf.yaml")).unwrap();

    let credential = &loaded.compiled.endpoints[0].credential.kind;
    assert_eq!(
        credential,
        &CredentialKind::Bearer(Secret::new("a-key".to_owned()))
    );
}

#[test]
fn ten_thousand_deployments_compile() {
    use std::fmt::Write as _;
    let mut text =
        "version: 1\nopen: true\nlisten: [{ address: 127.0.0.1:1 }]\nendpoints:\n".to_owned();
    for endpoint in 0..100 {
        writeln!(
            text,
            "  e{endpoint}:\n    url: https://e{endpoint}\n    credential: none\n    deployments:"
        )
        .unwrap();
        for model in 0..100 {
            writeln!(
                text,
                "      m{model}: {{ deployment: d{model}, weight: 3, priority: 2 }}"
            )
            .unwrap();
        }
    }
    let (compiled, warnings) = config::compile(&text, &Fake).unwrap();
    assert_eq!((compiled.models.len(), warnings.len()), (100, 0));
    assert!(
        compiled
            .models
            .iter()
            .all(|model| model.tiers[0].members.len() == 100)
    );
}

fn compile(path: &Path) -> (Compiled, Vec<Warning>) {
    let text = fs::read_to_string(path).unwrap();
    config::compile(&text, &Fake).unwrap_or_else(|errors| fail(path, &errors))
}

fn fail(path: &Path, errors: &[ConfigError]) -> ! {
    let file = path.display().to_string();
    let rendered: Vec<_> = errors.iter().map(|error| error.render(&file)).collect();
    panic!("{}", rendered.join("\n"))
}

/// Compares with the lines of a file; no file means no lines.
fn expect(path: &Path, lines: &[String]) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("BLESS").is_some() {
        if !text.is_empty() {
            fs::write(path, &text).unwrap();
        } else if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(text, expected, "left: what came, right: {}", path.display());
}

fn good_files() -> Vec<PathBuf> {
    let mut files = yaml_files("gateway/tests/it/config/good");
    files.extend(yaml_files("conf"));
    files
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no files in {folder}");
    files
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}
