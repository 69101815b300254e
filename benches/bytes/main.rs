//! Heap bytes a rule: what the agent's core holds of rules that run, by an allocator that counts.
//!
//! It is a program of its own, so that counting slows no other figure. Rules are the mixed ones of the
//! goals, and such as differ in nothing but a constant. Without `--bench`, as `cargo test` runs it, it
//! counts a few rules.
#![cfg(test)]

#[path = "../goals/figures.rs"]
mod figures;
#[path = "../goals/subject.rs"]
#[expect(dead_code, reason = "the goals need more of it")]
mod subject;
#[path = "../goals/workload.rs"]
#[expect(dead_code, reason = "the goals need more of it")]
mod workload;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use figures::Figures;
use subject::Whole;
use workload::Kind;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().filter(|arg| arg != "--bench").collect();
    if args.len() < std::env::args().len() {
        let figures = run(&[1_000, 10_000, 100_000]);
        println!("{figures}");
        let written = match args.iter().any(|arg| arg == "--docs") {
            true => figures::write_page(&[figures]),
            false => Ok(()),
        };
        return written.map_or_else(
            |why| {
                eprintln!("bytes: {why}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let trial = Trial::test("rules_have_bytes", || {
        println!("{}", run(&[20]));
        Ok(())
    });
    libtest_mimic::run(&Arguments::from_iter(args), vec![trial]).exit_code()
}

fn run(sizes: &[usize]) -> Figures {
    let title = "heap bytes a rule that the core holds, what loading took at the most, and the rule's text";
    let mut figures = Figures::new("bytes", title, &["rules", "count", "held", "at most", "text"]);
    for kind in [Kind::Mixed, Kind::Template] {
        for count in sizes.iter().copied() {
            let text = workload::text(&workload::rules(kind, count));
            let mut whole = None;
            let taken = allocation_counter::measure(|| whole = Some(Whole::new(subject::admit(&text))));
            let held = u64::try_from(taken.bytes_current).unwrap_or(0) as usize / count;
            let most = taken.bytes_max as usize / count;
            let [count_text, held, most, text] =
                [count, held, most, text.len() / count].map(|n| n.to_string());
            figures.row([kind.name().to_owned(), count_text, held, most, text]);
            drop(whole);
        }
    }
    figures
}
