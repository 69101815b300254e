package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/core"
)

// The overlay that a page shows, put where the page says, with the files that it names.
func shown(t *testing.T, page string) string {
	t.Helper()
	text := read(t, page)
	place := regexp.MustCompile("`packaging/([a-z]+)/kustomization.yaml`").FindStringSubmatch(text)
	_, after, found := strings.Cut(text, "```yaml\n")
	if place == nil || !found {
		t.Fatalf("%s shows no overlay", page)
	}
	block, _, _ := strings.Cut(after, "```")
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "packaging", place[1])
	files := map[string]string{
		"kustomization.yaml": regexp.MustCompile("(?m)^   ").ReplaceAllString(block, ""),
		"weir.toml":          "# of the site\n",
		"freezers.yaml":      "rules: []\n",
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(at, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "../" + place[1]
}

// The overlays in the documents do what is said beside them.
func TestTheDocumentsOverlaysWork(t *testing.T) {
	for page, level := range map[string]string{"docs/install-kubernetes.md": "restricted", "docs/install-kubeedge.md": "privileged"} {
		t.Run(page, func(t *testing.T) {
			all := objects(t, shown(t, page))
			for _, object := range all {
				for _, wrong := range validate(t, object) {
					t.Errorf("%T: %v", object, wrong)
				}
			}
			for name, template := range templates(t, all) {
				if image := template.Spec.Containers[0].Image; !strings.HasPrefix(image, "registry.example/weir") {
					t.Errorf("%s runs %s", name, image)
				}
				for id, why := range broken(pod(t, template)) {
					if level == "restricted" {
						t.Errorf("%s: %s: %s", name, id, why)
					}
				}
			}
			if is := one[*core.Namespace](t, all, "weir").Labels["pod-security.kubernetes.io/enforce"]; is != level {
				t.Errorf("the namespace enforces %s", is)
			}
			config := one[*core.ConfigMap](t, all, "weir-agent")
			if config.Data["weir.toml"] != "# of the site\n" {
				t.Errorf("the configuration is not the site's: %s", config.Data["weir.toml"])
			}
			rules := one[*core.ConfigMap](t, all, "weir-rules")
			if rules.Name != "weir-rules" || rules.Data["node.yaml"] == "" {
				t.Errorf("the rules are %s with %d files", rules.Name, len(rules.Data))
			}
			agent := one[*apps.DaemonSet](t, all, "weir-agent")
			for _, volume := range agent.Spec.Template.Spec.Volumes {
				if volume.Name == "config" && volume.ConfigMap.Name != config.Name {
					t.Errorf("agents read %s, and not %s", volume.ConfigMap.Name, config.Name)
				}
			}
		})
	}
}
