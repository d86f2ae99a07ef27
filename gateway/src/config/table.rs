//! The effective pools as a table of plain text: what goes where, and in which share.

use std::fmt::Write as _;

use super::compiled::{Compiled, Member, Model, Tier};

const HEAD: [&str; 8] = [
    "MODEL",
    "ALIASES",
    "PRIORITY",
    "ENDPOINT",
    "REGION",
    "DEPLOYMENT",
    "WEIGHT",
    "BALANCE",
];

/// One line a deployment, sorted by model and priority, columns aligned. A model is named on its first line.
#[must_use]
pub fn pools(compiled: &Compiled) -> String {
    let mut rows = vec![HEAD.map(str::to_owned)];
    for model in &compiled.models {
        for (tier, first) in model
            .tiers
            .iter()
            .zip([true].into_iter().chain(std::iter::repeat(false)))
        {
            for (index, member) in tier.members.iter().enumerate() {
                rows.push(row(compiled, model, tier, member, first && index == 0));
            }
        }
    }
    aligned(&rows)
}

fn row(
    compiled: &Compiled,
    model: &Model,
    tier: &Tier,
    member: &Member,
    first: bool,
) -> [String; 8] {
    let endpoint = &compiled.endpoints[member.endpoint];
    let aliases: Vec<_> = model.aliases.iter().map(ToString::to_string).collect();
    let once = |text: String| if first { text } else { String::new() };
    [
        once(model.name.to_string()),
        once(aliases.join(", ")),
        tier.priority.to_string(),
        endpoint.name.to_string(),
        endpoint.region.as_deref().unwrap_or("-").to_owned(),
        endpoint.deployments[member.deployment].name.to_string(),
        format!("{} ({}%)", member.weight, share(tier, member)),
        once(model.balance.as_str().to_owned()),
    ]
}

/// Percent of the group's traffic, rounded to the nearest.
fn share(tier: &Tier, member: &Member) -> u64 {
    let sum: u64 = tier
        .members
        .iter()
        .map(|member| u64::from(member.weight))
        .sum();
    (u64::from(member.weight) * 200 + sum)
        .checked_div(2 * sum)
        .unwrap_or(0)
}

/// Rows of text with their columns aligned.
#[must_use]
pub fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut table = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("a String takes every write");
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}
