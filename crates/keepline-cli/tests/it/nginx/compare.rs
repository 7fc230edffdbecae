//! Runs a file of cases under a gateway and compares what was seen with what is recorded.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::{env, fs};

use super::case::{CaseFile, Step};
use super::conf::Parts;
use super::gateway::{Gateway, Subject};
use super::stage::{Held, Stage};

/// What was seen at each step of each case that was played.
type Seen = Vec<Option<Vec<Vec<String>>>>;

/// What is seen at the first step of a case whose configuration the gateway doesn't take.
const REFUSED: &str = "the configuration is refused";

/// A case by its number, ready to be played.
type Placed = (usize, Stage, Parts);

/// Set to `nginx` or `keepline`, the files are rewritten with what that one does.
const RECORD: &str = "KEEPLINE_RECORD";

/// Only cases whose names have this in them are played.
const ONLY: &str = "KEEPLINE_CASE";

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/nginx/cases")
        .join(name)
}

pub(crate) fn load(path: &Path) -> CaseFile {
    let text = fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("can't read {}: {error}", path.display()));
    let file = CaseFile::parse(&text);
    assert_eq!(file.print(), text, "{} is printed as read", path.display());
    file
}

/// Nginx does what is recorded: the record is true, and the harness sees it.
pub(crate) async fn nginx_is_as_recorded(name: &str, nginx: PathBuf) {
    let path = path(name);
    let mut file = load(&path);
    let seen = run(&file, &Subject::Nginx(nginx)).await;
    if records("nginx") {
        file.record(seen, |step, seen| step.nginx = seen);
        return file.save(&path);
    }
    let wrong = differences(&file, &seen, |step, seen| *seen == step.nginx);
    assert!(
        wrong.is_empty(),
        "nginx is not as recorded in {name}:\n{wrong}"
    );
}

/// Keepline does what nginx does, but for what is recorded.
pub(crate) async fn keepline_is_as_recorded(name: &str) {
    let path = path(name);
    let mut file = load(&path);
    let seen = run(&file, &Subject::Keepline).await;
    if records("keepline") {
        file.record(seen, |step, seen| {
            step.keepline = (seen != step.nginx).then_some(seen);
        });
        return file.save(&path);
    }
    // What is no difference any more is none to fail for.
    let wrong = differences(&file, &seen, |step, seen| {
        *seen == step.nginx || step.keepline.as_ref() == Some(seen)
    });
    assert!(wrong.is_empty(), "keepline differs in {name}:\n{wrong}");
}

impl CaseFile {
    fn record(&mut self, seen: Seen, record: impl Fn(&mut Step, Vec<String>)) {
        for (case, seen) in self.cases.iter_mut().zip(seen) {
            let of_case = seen.into_iter().flatten();
            case.steps_mut()
                .zip(of_case)
                .for_each(|(step, seen)| record(step, seen));
        }
    }

    fn save(&self, path: &Path) {
        fs::write(path, self.print()).expect("the file of cases is writable");
    }
}

fn records(subject: &str) -> bool {
    env::var_os(RECORD).is_some_and(|value| value == subject)
}

fn differences(
    file: &CaseFile,
    seen: &Seen,
    is_right: impl Fn(&Step, &Vec<String>) -> bool,
) -> String {
    let mut wrong = String::new();
    for (case, seen) in file.cases.iter().zip(seen) {
        let Some(seen) = seen else { continue };
        let mut of_case = String::new();
        for (step, seen) in case.steps().zip(seen) {
            let recorded = step.keepline.as_ref().unwrap_or(&step.nginx);
            if !is_right(step, seen) {
                of_case += &format!(
                    "  {}\n    recorded {}\n    seen     {}\n",
                    step.line(),
                    recorded.join("\n             "),
                    seen.join("\n             ")
                );
            }
        }
        if !of_case.is_empty() {
            wrong += &format!("== {}\n{of_case}", case.name);
        }
    }
    wrong
}

/// Plays all cases, those that can in one gateway.
async fn run(file: &CaseFile, subject: &Subject) -> Seen {
    let only = env::var(ONLY).unwrap_or_default();
    let mut seen: Seen = vec![None; file.cases.len()];
    let (mut shared, mut alone) = (Vec::new(), Vec::new());
    for (number, case) in file.cases.iter().enumerate() {
        if case.name.contains(&only) {
            let cast = if case.is_alone() {
                &mut alone
            } else {
                &mut shared
            };
            let (stage, parts) = Stage::set(case, number);
            cast.push((number, stage, parts));
        }
    }
    remove_refused(&mut shared, subject, file, &mut seen);
    remove_refused(&mut alone, subject, file, &mut seen);
    play_together(shared, subject, file, &mut seen).await;
    let plays = alone.into_iter().map(|(number, stage, parts)| async move {
        let mut gateway = subject.start(&[&parts], stage.gateway().port()).await;
        let case = &file.cases[number];
        let of_case = stage.play(case, &mut Held::Own(&mut gateway)).await;
        assert_sane(&gateway);
        (number, of_case)
    });
    for (number, of_case) in together(plays).await {
        seen[number] = Some(of_case);
    }
    seen
}

/// What a gateway has no words for is seen as a refusal, and doesn't keep others from being played.
fn remove_refused(cast: &mut Vec<Placed>, subject: &Subject, file: &CaseFile, seen: &mut Seen) {
    let all: Vec<_> = cast.iter().map(|(_, _, parts)| parts).collect();
    if subject.refusal(&all).is_none() {
        return;
    }
    cast.retain(|(number, _, parts)| {
        let Some(refusal) = subject.refusal(&[parts]) else {
            return true;
        };
        let mut of_case = vec![Vec::new(); file.cases[*number].steps().count()];
        of_case[0] = vec![REFUSED.to_owned()];
        // The words differ, and are for whoever wonders.
        eprintln!("== {}\n{refusal}", file.cases[*number].name);
        seen[*number] = Some(of_case);
        false
    });
}

async fn play_together(cast: Vec<Placed>, subject: &Subject, file: &CaseFile, seen: &mut Seen) {
    let Some((_, last, _)) = cast.last() else {
        return;
    };
    // The last one's port listens when all do.
    let port = last.gateway().port();
    let parts: Vec<_> = cast.iter().map(|(_, _, parts)| parts).collect();
    let gateway = subject.start(&parts, port).await;
    let gateway = &gateway;
    let plays = cast.into_iter().map(|(number, stage, _)| async move {
        let case = &file.cases[number];
        (number, stage.play(case, &mut Held::Shared(gateway)).await)
    });
    for (number, of_case) in together(plays).await {
        seen[number] = Some(of_case);
    }
    assert_sane(gateway);
}

/// An alert is a program's word for a bug of its own.
fn assert_sane(gateway: &Gateway) {
    let log = gateway.error_log();
    let alert = log
        .lines()
        .find(|line| line.contains("[alert]") || line.contains("panicked"));
    assert_eq!(alert, None, "the gateway found a bug in itself");
}

/// Drives all futures at once; the outputs come in no order.
async fn together<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(Box::pin).collect();
    let mut done = Vec::new();
    poll_fn(move |cx| {
        running.retain_mut(|future| match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                done.push(output);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() {
            Poll::Ready(std::mem::take(&mut done))
        } else {
            Poll::Pending
        }
    })
    .await
}
