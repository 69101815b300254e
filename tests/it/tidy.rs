//! The shape of the tree, held by a test: who may name whom, and where `super` may lead.
//!
//! Every path that begins with `crate::` (or, in a binary, `weir::`) is followed, in `use` groups
//! and inline, so that an import cannot hide in a function body.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use syn::visit::Visit;
use syn::{Attribute, ItemMod, UsePath, UseTree};

/// Who may name whom, besides themselves. What is not here may name nothing.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("tasks", &[]),
    ("failpoint", &[]),
    ("telemetry", &[]),
    ("clock", &["model"]),
    ("decode", &["model"]),
    ("plan", &["model"]),
    ("alert", &["model"]),
    ("wire", &["model"]),
    ("engine", &["model", "plan"]),
    ("control", &["model", "plan"]),
    ("supervisor", &["tasks"]),
    ("reach", &["model", "clock", "tasks"]),
    ("ingest", &["model", "clock", "tasks", "failpoint", "reach"]),
    ("spool", &["model", "failpoint"]),
    ("uplink", &["model", "wire", "clock", "tasks", "failpoint", "reach"]),
    ("config", &["model", "ingest", "spool", "uplink"]),
    (
        "agent",
        &[
            "model",
            "clock",
            "tasks",
            "failpoint",
            "config",
            "ingest",
            "decode",
            "plan",
            "engine",
            "alert",
            "spool",
            "uplink",
            "control",
            "wire",
            "supervisor",
        ],
    ),
    ("hub", &["model", "plan", "wire", "clock", "tasks", "failpoint", "reach", "supervisor"]),
    ("demo", &["model", "clock", "tasks", "config", "agent", "hub", "ingest", "uplink", "spool"]),
    (
        "cli",
        &[
            "model",
            "clock",
            "tasks",
            "telemetry",
            "config",
            "reach",
            "ingest",
            "decode",
            "plan",
            "engine",
            "alert",
            "spool",
            "uplink",
            "control",
            "wire",
            "agent",
            "hub",
            "demo",
        ],
    ),
    ("bin", &["cli"]),
];

/// The paths of one file that lead out of its module.
#[derive(Default)]
struct Paths {
    named: BTreeSet<String>,
    ups: usize,
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        // Tests may look anywhere.
        if !module.attrs.iter().any(is_test) {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_use_path(&mut self, path: &'ast UsePath) {
        if path.ident == "crate" || path.ident == "weir" {
            first_names(&path.tree, &mut self.named);
        } else if path.ident == "super" && matches!(&*path.tree, UseTree::Path(next) if next.ident == "super")
        {
            self.ups += 1;
        }
        syn::visit::visit_use_path(self, path);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["crate" | "weir", module, ..] => {
                self.named.insert((*module).to_owned());
            }
            ["super", "super", ..] => self.ups += 1,
            _ => {}
        }
        syn::visit::visit_path(self, path);
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string() == "test")
}

fn first_names(tree: &UseTree, into: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => drop(into.insert(path.ident.to_string())),
        UseTree::Name(name) => drop(into.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(into.insert(rename.ident.to_string())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| first_names(tree, into)),
        UseTree::Glob(_) => drop(into.insert("*".to_owned())),
    }
}

fn rust_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

/// Every file of `src` with the top-level module that it belongs to.
fn sources() -> Vec<(String, PathBuf)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    files.sort();
    let module = |path: &PathBuf| {
        let first = path.strip_prefix(&src).unwrap().components().next().unwrap();
        first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    files.into_iter().map(|path| (module(&path), path)).filter(|(module, _)| module != "lib").collect()
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs")
}

#[test]
fn imports_run_one_way() {
    let mut wrong = Vec::new();
    for (module, path) in sources() {
        if is_test_file(&path) {
            continue;
        }
        let mut paths = Paths::default();
        paths.visit_file(&syn::parse_file(&std::fs::read_to_string(&path).unwrap()).unwrap());
        let allowed =
            ALLOWED.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
        for named in paths.named {
            if named != module && !allowed.contains(&named.as_str()) {
                wrong.push(format!("{}: `{module}` may not name `{named}`", path.display()));
            }
        }
        if paths.ups > 0 {
            wrong.push(format!(
                "{}: `super::super` hides where a path leads; write `crate::…`",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_tree_is_in_the_table_and_the_other_way_round() {
    let found: BTreeSet<String> = sources().into_iter().map(|(module, _)| module).collect();
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for (_, path) in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} begins without a `//!` doc", path.display());
    }
}

#[test]
fn the_lean_agent_links_neither_hub_nor_demo() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--no-default-features",
            "--edges",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    for package in ["axum", "reqwest", "mqtt5", "openssl-sys", "aws-lc-sys"] {
        assert!(!tree.lines().any(|line| line.starts_with(&format!("{package} "))), "it links {package}");
    }
}
