package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/apps"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
)

// validate says what an API server has against an object.
func validate(t *testing.T, object runtime.Object) field.ErrorList {
	t.Helper()
	switch object := object.(type) {
	case *apps.DaemonSet:
		return appsvalidation.ValidateDaemonSet(object, corevalidation.PodValidationOptions{})
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(object, corevalidation.PodValidationOptions{})
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(object)
	case *core.Namespace:
		return corevalidation.ValidateNamespace(object)
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(object, corevalidation.PersistentVolumeClaimSpecValidationOptions{})
	case *core.Secret:
		return corevalidation.ValidateSecret(object)
	case *core.Service:
		return corevalidation.ValidateServiceCreate(object)
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(object)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(object, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(object, policyvalidation.PodDisruptionBudgetValidationOptions{})
	case *rbac.ClusterRole:
		return rbacvalidation.ValidateClusterRole(object, rbacvalidation.ClusterRoleValidationOptions{})
	case *rbac.ClusterRoleBinding:
		return rbacvalidation.ValidateClusterRoleBinding(object)
	}
	t.Fatalf("nothing here validates a %T", object)
	return nil
}

func TestEveryOverlayIsWhatAnAPIServerTakes(t *testing.T) {
	for _, overlay := range overlays(t) {
		t.Run(overlay, func(t *testing.T) {
			for _, object := range objects(t, "overlays/"+overlay) {
				for _, wrong := range validate(t, object) {
					t.Errorf("%T: %v", object, wrong)
				}
			}
		})
	}
}

func TestWhatIsWrongIsFound(t *testing.T) {
	head := "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: b}\nspec:\n"
	for _, text := range []string{"  selektor: {a: b}\n  ports: [{port: 1}]\n", "  ports: [{port: one}]\n", "  ports: [{port: 1}]\n  ports: [{port: 2}]\n"} {
		if _, _, err := decode([]byte(head + text)); err == nil {
			t.Errorf("this was decoded:\n%s", text)
		}
	}
	object, _, err := decode([]byte(head + "  selector: {a: b}\n  ports: [{port: 70000}]\n"))
	if err != nil || len(validate(t, object)) == 0 {
		t.Error("port 70000 was taken: ", err)
	}
}

// Everything lies in the overlay's namespace, and what is named is there.
func TestNamesLeadSomewhere(t *testing.T) {
	for _, overlay := range overlays(t) {
		t.Run(overlay, func(t *testing.T) {
			all := objects(t, "overlays/"+overlay)
			namespace := one[*core.Namespace](t, all, "weir").Name
			there := map[string]bool{}
			for _, object := range all {
				accessor, err := meta.Accessor(object)
				if err != nil {
					t.Fatal(err)
				}
				there[kind(object)+" "+accessor.GetName()] = true
				switch object.(type) {
				case *core.Namespace, *rbac.ClusterRole, *rbac.ClusterRoleBinding:
				default:
					if accessor.GetNamespace() != namespace {
						t.Errorf("%s %s is in namespace %q", kind(object), accessor.GetName(), accessor.GetNamespace())
					}
				}
			}
			need := func(what string) {
				if !there[what] {
					t.Errorf("there is no %s", what)
				}
			}
			for _, pod := range templates(t, all) {
				need("ServiceAccount " + pod.Spec.ServiceAccountName)
				for _, volume := range pod.Spec.Volumes {
					switch {
					case volume.ConfigMap != nil:
						need("ConfigMap " + volume.ConfigMap.Name)
					case volume.Secret != nil:
						need("Secret " + volume.Secret.SecretName)
					case volume.PersistentVolumeClaim != nil:
						need("PersistentVolumeClaim " + volume.PersistentVolumeClaim.ClaimName)
					}
				}
			}
		})
	}
}

func kind(object runtime.Object) string {
	switch object.(type) {
	case *core.ServiceAccount:
		return "ServiceAccount"
	case *core.ConfigMap:
		return "ConfigMap"
	case *core.Secret:
		return "Secret"
	case *core.PersistentVolumeClaim:
		return "PersistentVolumeClaim"
	}
	return "other"
}

// The hub's service, budget and network policy are about the hub's pods and their ports.
func TestTheHubIsSelected(t *testing.T) {
	all := objects(t, "overlays/restricted")
	pod := templates(t, all)["weir-hub"]
	ports := map[string]int32{}
	for _, port := range pod.Spec.Containers[0].Ports {
		ports[port.Name] = port.ContainerPort
	}
	service := one[*core.Service](t, all, "weir-hub")
	if !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)) {
		t.Error("the service finds no hub")
	}
	for _, port := range service.Spec.Ports {
		if ports[port.TargetPort.StrVal] != port.Port {
			t.Errorf("the service's port %s leads to %d", port.Name, ports[port.TargetPort.StrVal])
		}
	}
	network := one[*networking.NetworkPolicy](t, all, "weir-hub")
	budget := one[*policy.PodDisruptionBudget](t, all, "weir-hub")
	for _, selector := range []*metav1.LabelSelector{&network.Spec.PodSelector, budget.Spec.Selector} {
		selects, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || !selects.Matches(labels.Set(pod.Labels)) {
			t.Error("not about the hub: ", selector, err)
		}
		if selects.Matches(labels.Set(templates(t, all)["weir-agent"].Labels)) {
			t.Error("about agents too: ", selector)
		}
	}
	if len(network.Spec.Egress) != 0 || len(network.Spec.PolicyTypes) != 2 {
		t.Error("the hub may dial out")
	}
	for _, rule := range network.Spec.Ingress {
		for _, port := range rule.Ports {
			if _, known := ports[port.Port.StrVal]; !known {
				t.Errorf("the policy names a port %s that the hub has not", port.Port.StrVal)
			}
			if anyone := len(rule.From) == 0; anyone != (port.Port.StrVal == "agents") {
				t.Errorf("who may dial %s: %v", port.Port.StrVal, rule.From)
			}
		}
	}
}

// Images are of this version.
func TestImagesAreOfThisVersion(t *testing.T) {
	manifest, err := os.ReadFile(filepath.Join(root, "Cargo.toml"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^version = "(.*)"$`).FindStringSubmatch(string(manifest))[1]
	for _, overlay := range overlays(t) {
		for name, pod := range templates(t, objects(t, "overlays/"+overlay)) {
			for _, container := range append(pod.Spec.InitContainers, pod.Spec.Containers...) {
				image := strings.Split(container.Image, ":")
				if len(image) != 2 || image[1] != version {
					t.Errorf("%s/%s runs %s, this is %s", overlay, name, container.Image, version)
				}
			}
		}
	}
}
