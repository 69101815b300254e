package kubernetes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"k8s.io/kubernetes/pkg/apis/apps"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/rbac"
)

// Each overlay with the component: one role that may get nodes and nothing else, for the agents' account in their
// namespace; the init container that asks breaks no rule; and the agent itself holds no token.
func TestNodeLabelsTakeOneRole(t *testing.T) {
	for name, namespace := range map[string]string{"restricted": "weir", "edge-node": "weir-edge"} {
		t.Run(name, func(t *testing.T) {
			dir, err := tree()
			if err != nil {
				t.Fatal(err)
			}
			at := filepath.Join(dir, "packaging", "with-"+name)
			if err := os.MkdirAll(at, 0o755); err != nil {
				t.Fatal(err)
			}
			text := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nnamespace: " + namespace +
				"\nresources: [../kubernetes/overlays/" + name + "]\ncomponents: [../kubernetes/components/node-labels]\n"
			if err := os.WriteFile(filepath.Join(at, "kustomization.yaml"), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			all := objects(t, "../with-"+name)
			for _, object := range all {
				for _, wrong := range validate(t, object) {
					t.Errorf("%T: %v", object, wrong)
				}
			}
			role := one[*rbac.ClusterRole](t, all, "weir-node-labels")
			if len(role.Rules) != 1 || !slices.Equal(role.Rules[0].Resources, []string{"nodes"}) || !slices.Equal(role.Rules[0].Verbs, []string{"get"}) {
				t.Errorf("the role may %v", role.Rules)
			}
			binding := one[*rbac.ClusterRoleBinding](t, all, "weir-node-labels")
			if binding.RoleRef.Name != role.Name || binding.Subjects[0].Name != "weir-agent" || binding.Subjects[0].Namespace != namespace {
				t.Errorf("the role is bound to %v", binding.Subjects)
			}
			spec := one[*apps.DaemonSet](t, all, "weir-agent").Spec.Template.Spec
			asks := slices.IndexFunc(spec.InitContainers, func(c core.Container) bool { return c.Name == "node-labels" })
			if asks < 0 || spec.InitContainers[asks].Image != spec.Containers[0].Image {
				t.Fatal("nothing asks for the labels, or with another image")
			}
			template := one[*apps.DaemonSet](t, all, "weir-agent").Spec.Template.DeepCopy()
			template.Spec.InitContainers = template.Spec.InitContainers[asks : asks+1]
			if name == "restricted" {
				for id, why := range broken(pod(t, template)) {
					t.Errorf("%s: %s", id, why)
				}
			}
			for _, mount := range spec.Containers[0].VolumeMounts {
				if mount.Name == "account" || (mount.Name == "node-labels" && !mount.ReadOnly) {
					t.Errorf("the agent has %v", mount)
				}
			}
		})
	}
}
