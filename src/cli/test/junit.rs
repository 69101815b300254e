//! Results as JUnit XML, in the form that CI servers read: a suite for each file, a test for each case.

/// What came of one case, or of what goes for a file as a whole.
#[derive(Debug)]
pub(super) struct Result {
    pub(super) file: String,
    /// The line of the case; 0 where it is about no line.
    pub(super) line: usize,
    pub(super) name: String,
    /// What is wrong; empty where nothing is.
    pub(super) failure: String,
}

/// The document.
pub(super) fn write(results: &[Result]) -> String {
    let failed = |some: &[&Result]| some.iter().filter(|result| !result.failure.is_empty()).count();
    let all: Vec<&Result> = results.iter().collect();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"weir test\" tests=\"{}\" failures=\"{}\">\n",
        all.len(),
        failed(&all)
    );
    let mut files: Vec<&str> = Vec::new();
    for result in results {
        if !files.contains(&result.file.as_str()) {
            files.push(&result.file);
        }
    }
    for file in files {
        let own: Vec<&Result> = results.iter().filter(|result| result.file == file).collect();
        let name = escaped(file);
        text.push_str(&format!(
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\">\n",
            own.len(),
            failed(&own)
        ));
        for result in own {
            text.push_str(&case(result, &name));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn case(result: &Result, file: &str) -> String {
    let line = if result.line > 0 { format!(" line=\"{}\"", result.line) } else { String::new() };
    let head = format!(
        "    <testcase classname=\"{file}\" name=\"{}\" file=\"{file}\"{line}",
        escaped(&result.name)
    );
    if result.failure.is_empty() {
        return format!("{head}/>\n");
    }
    let first = result.failure.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    format!(
        "{head}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
        escaped(first.trim()),
        escaped(&result.failure)
    )
}

/// Text as XML 1.0 takes it, in an attribute too. What it cannot hold at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_stands_in_its_case() {
        let result = |name: &str, failure: &str| Result {
            file: "a.test.yaml".to_owned(),
            line: 3,
            name: name.to_owned(),
            failure: failure.to_owned(),
        };
        let text = write(&[result("good", ""), result("<bad> & \"ugly\"", "  - 5m firing hot\u{1b}")]);
        assert!(text.contains("<testsuites name=\"weir test\" tests=\"2\" failures=\"1\">"), "{text}");
        assert!(text.contains("name=\"good\" file=\"a.test.yaml\" line=\"3\"/>"), "{text}");
        assert!(text.contains("name=\"&lt;bad&gt; &amp; &quot;ugly&quot;\""), "{text}");
        assert!(text.contains("<failure message=\"- 5m firing hot\">  - 5m firing hot</failure>"), "{text}");
    }
}
