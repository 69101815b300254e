package kubernetes

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	nodeaffinity "k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/kubernetes/pkg/apis/core"
	v1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/pod-security-admission/policy"
)

const edge = "node-role.kubernetes.io/edge"

// pod gives a template in the form that the Pod Security checks take.
func pod(t *testing.T, template *core.PodTemplateSpec) *corev1.Pod {
	t.Helper()
	var out corev1.PodTemplateSpec
	if err := v1.Convert_core_PodTemplateSpec_To_v1_PodTemplateSpec(template, &out, nil); err != nil {
		t.Fatal(err)
	}
	return &corev1.Pod{ObjectMeta: out.ObjectMeta, Spec: out.Spec}
}

// broken gives the rules of the level `restricted`, which holds those of `baseline`, that a pod breaks, with why.
func broken(pod *corev1.Pod) map[string]string {
	found := map[string]string{}
	for _, check := range policy.DefaultChecks() {
		newest := check.Versions[len(check.Versions)-1]
		if result := newest.CheckPod(&pod.ObjectMeta, &pod.Spec); !result.Allowed {
			found[string(check.ID)] = result.ForbiddenDetail
		}
	}
	return found
}

func TestRestrictedKeepsEachRule(t *testing.T) {
	all := objects(t, "overlays/restricted")
	if level := one[*core.Namespace](t, all, "weir").Labels["pod-security.kubernetes.io/enforce"]; level != "restricted" {
		t.Errorf("the namespace enforces %q", level)
	}
	for name, template := range templates(t, all) {
		wrong := broken(pod(t, template))
		for _, check := range policy.DefaultChecks() {
			t.Run(name+"/"+string(check.ID), func(t *testing.T) {
				if why, is := wrong[string(check.ID)]; is {
					t.Error(why)
				}
			})
		}
	}
}

// Of the rules, the pod at the edge breaks those that the node's network, its directories and the init container need;
// the agent's container alone breaks none.
func TestAtTheEdgeTheAgentItselfIsRestricted(t *testing.T) {
	whole := pod(t, templates(t, objects(t, "overlays/edge-node"))["weir-agent"])
	want := []string{"capabilities_restricted", "hostNamespaces", "hostPathVolumes", "restrictedVolumes", "runAsNonRoot", "runAsUser"}
	var is []string
	for id := range broken(whole) {
		is = append(is, id)
	}
	slices.Sort(is)
	// Probes of 127.0.0.1, a rule of later versions of Kubernetes.
	is = slices.DeleteFunc(is, func(id string) bool { return id == "hostProbesAndHostLifecycle" })
	if !slices.Equal(is, want) {
		t.Errorf("it breaks %v: %v", is, broken(whole))
	}

	agent := whole.DeepCopy()
	agent.Spec.InitContainers = nil
	agent.Spec.HostNetwork = false
	for i := range agent.Spec.Volumes {
		if agent.Spec.Volumes[i].HostPath != nil {
			agent.Spec.Volumes[i].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
		}
	}
	for _, probe := range []*corev1.Probe{agent.Spec.Containers[0].LivenessProbe, agent.Spec.Containers[0].ReadinessProbe} {
		probe.HTTPGet.Host = ""
	}
	for id, why := range broken(agent) {
		t.Errorf("%s: %s", id, why)
	}
	for _, container := range agent.Spec.Containers {
		if added := container.SecurityContext.Capabilities.Add; len(added) > 0 {
			t.Errorf("%s has %v", container.Name, added)
		}
		if !*container.SecurityContext.ReadOnlyRootFilesystem {
			t.Errorf("%s may write its root", container.Name)
		}
	}
}

// The init container is root over one directory, by one capability.
func TestTheInitContainerSeesOneDirectory(t *testing.T) {
	whole := pod(t, templates(t, objects(t, "overlays/edge-node"))["weir-agent"])
	if len(whole.Spec.InitContainers) != 1 {
		t.Fatalf("there are %d init containers", len(whole.Spec.InitContainers))
	}
	init := whole.Spec.InitContainers[0]
	if len(init.VolumeMounts) != 1 || init.VolumeMounts[0].Name != "state" {
		t.Errorf("it sees %v", init.VolumeMounts)
	}
	capabilities := init.SecurityContext.Capabilities
	if !slices.Equal(capabilities.Add, []corev1.Capability{"CHOWN"}) || !slices.Equal(capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("it has %v", capabilities)
	}
	if *init.SecurityContext.AllowPrivilegeEscalation || !*init.SecurityContext.ReadOnlyRootFilesystem || init.SecurityContext.Privileged != nil {
		t.Errorf("it may do more: %v", init.SecurityContext)
	}
}

// Of the node's directories the agent may write its state's, and read those that the node's figures come from.
func TestOnlyTheStateIsWritable(t *testing.T) {
	whole := pod(t, templates(t, objects(t, "overlays/edge-node"))["weir-agent"])
	paths := map[string]string{}
	for _, volume := range whole.Spec.Volumes {
		if volume.HostPath != nil {
			paths[volume.Name] = volume.HostPath.Path
		}
	}
	var writable, readable []string
	for _, mount := range whole.Spec.Containers[0].VolumeMounts {
		path, host := paths[mount.Name]
		switch {
		case !mount.ReadOnly:
			writable = append(writable, path)
		case host:
			readable = append(readable, path)
		}
	}
	slices.Sort(readable)
	if !slices.Equal(writable, []string{"/var/lib/weir-agent"}) || !slices.Equal(readable, []string{"/", "/proc", "/sys"}) {
		t.Errorf("it writes %v and reads %v", writable, readable)
	}
}

// The state is the pod's in `restricted`, and the overlay says so.
func TestRestrictedSaysThatItLosesItsState(t *testing.T) {
	whole := pod(t, templates(t, objects(t, "overlays/restricted"))["weir-agent"])
	for _, volume := range whole.Spec.Volumes {
		if volume.Name == "state" && volume.EmptyDir == nil {
			t.Error("the state is no emptyDir: the words about it are wrong")
		}
	}
	for _, file := range []string{"packaging/kubernetes/overlays/restricted/state.yaml", "docs/install-kubernetes.md"} {
		if text := strings.ToLower(read(t, file)); !strings.Contains(text, "loses its state with its pod") {
			t.Errorf("%s does not say so", file)
		}
	}
}

func node(name string, edgeNode bool) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	if edgeNode {
		node.Labels[edge] = ""
	}
	return node
}

// Each node has the agent of one overlay.
func TestWhereAgentsRun(t *testing.T) {
	for overlay, atTheEdge := range map[string]bool{"edge-node": true, "restricted": false} {
		for name, template := range templates(t, objects(t, "overlays/"+overlay)) {
			whole := pod(t, template)
			for _, edgeNode := range []bool{true, false} {
				fits, err := nodeaffinity.GetRequiredNodeAffinity(whole).Match(node("n", edgeNode))
				if err != nil || fits != (edgeNode == atTheEdge) {
					t.Errorf("%s of %s on a node that is at the edge (%v): %v %v", name, overlay, edgeNode, fits, err)
				}
			}
		}
	}
}

// Nothing that befalls an edge node or its link evicts the agent, however long.
func TestTheAgentStaysOnItsNode(t *testing.T) {
	whole := pod(t, templates(t, objects(t, "overlays/edge-node"))["weir-agent"])
	taints := []corev1.Taint{
		{Key: edge, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeUnreachable, Effect: corev1.TaintEffectNoExecute},
		{Key: corev1.TaintNodeNetworkUnavailable, Effect: corev1.TaintEffectNoSchedule},
		{Key: corev1.TaintNodeDiskPressure, Effect: corev1.TaintEffectNoSchedule},
	}
	for _, taint := range taints {
		stays := slices.ContainsFunc(whole.Spec.Tolerations, func(tolerates corev1.Toleration) bool {
			return tolerates.ToleratesTaint(&taint) && tolerates.TolerationSeconds == nil
		})
		if !stays {
			t.Errorf("it goes for %v", taint)
		}
	}
}
