//! The simulators as a program: a resource or an identity on one port, until SIGTERM or SIGINT, or certificates
//! in files.

mod program;

use clap::{Parser, Subcommand};
use program::{certificates, identity, resource};

/// An Azure OpenAI resource on loopback, and what it needs around it.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Program {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    resource: resource::Arguments,
}

#[derive(Subcommand)]
enum Mode {
    /// Entra and the platforms' identity endpoints on loopback.
    Identity(identity::Arguments),
    /// Writes ca.pem, and server.pem and client.pem with their keys, for tests by hand.
    Certificates(certificates::Arguments),
}

fn main() -> anyhow::Result<()> {
    let program = Program::parse();
    match program.mode {
        None => resource::run(program.resource),
        Some(Mode::Identity(arguments)) => identity::run(arguments),
        Some(Mode::Certificates(arguments)) => certificates::run(&arguments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_belong_to_their_mode() {
        let cases = [
            ("--port 80 --deployment a=b --key c --ttft 5ms", true),
            (
                "--deployment a --token-audience b --tls-certificate c --tls-key d",
                true,
            ),
            ("--deployment a --tls-certificate b", false),
            ("--deployment a --client-ca b", false),
            ("identity", true),
            (
                "identity --port 80 --tenant a --client b=c --client d --token-lifetime 60s",
                true,
            ),
            ("identity --deployment a", false),
            ("--deployment a identity", false),
            ("certificates --dir a b c", true),
            ("certificates --dir a", false),
        ];
        for (line, accepted) in cases {
            let words = std::iter::once("simulator").chain(line.split(' '));
            assert_eq!(Program::try_parse_from(words).is_ok(), accepted, "{line}");
        }
    }
}
