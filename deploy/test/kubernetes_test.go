package deploy

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	base       = "../kubernetes/base"
	production = "../kubernetes/overlays/production"
)

// manifests builds a kustomization as `kubectl apply -k` does and answers its objects by kind and name. A field
// that the API does not know is an error.
func manifests(t *testing.T, dir string) map[string]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme, corev1.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, monitoringv1.AddToScheme,
	} {
		require.NoError(t, add(scheme))
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	require.NoError(t, err)
	objects := make(map[string]runtime.Object)
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		object, _, err := decoder.Decode(text, nil, nil)
		require.NoError(t, err, string(text))
		name := resource.GetName()
		if resource.GetKind() == "ConfigMap" {
			name = "booking-svc" // without the hash
		}
		objects[resource.GetKind()+"/"+name] = object
	}
	return objects
}

func get[T runtime.Object](t *testing.T, objects map[string]runtime.Object, name string) T {
	t.Helper()
	object, ok := objects[name].(T)
	require.True(t, ok, "%s is not there", name)
	return object
}

// both runs a test on the base and on the overlay.
func both(t *testing.T, test func(t *testing.T, objects map[string]runtime.Object)) {
	for _, dir := range []string{base, production} {
		t.Run(dir, func(t *testing.T) { test(t, manifests(t, dir)) })
	}
}

func TestKubernetesHasAllParts(t *testing.T) {
	for dir, more := range map[string][]string{
		base:       nil,
		production: {"HorizontalPodAutoscaler/booking-svc", monitoring.ServiceMonitorsKind + "/booking-svc"},
	} {
		objects := manifests(t, dir)
		want := append([]string{
			"ConfigMap/booking-svc", "Deployment/booking-svc", "Job/booking-svc-migrate", "NetworkPolicy/booking-svc",
			"PodDisruptionBudget/booking-svc", "Service/booking-svc", "ServiceAccount/booking-svc",
		}, more...)
		require.Len(t, objects, len(want), dir)
		for _, name := range want {
			require.Contains(t, objects, name, dir)
		}
	}
}

// settings of a container: the ConfigMap's, and those from the secret.
func settings(t *testing.T, objects map[string]runtime.Object, c corev1.Container) map[string]string {
	t.Helper()
	config := get[*corev1.ConfigMap](t, objects, "ConfigMap/booking-svc")
	require.Len(t, c.EnvFrom, 1)
	require.Equal(t, config.Name, c.EnvFrom[0].ConfigMapRef.Name, "with its hash")
	found := make(map[string]string)
	for name, value := range config.Data {
		found[name] = value
		require.NotContains(t, name, "PASSWORD")
	}
	for _, e := range c.Env {
		if e.ValueFrom == nil {
			require.NotContains(t, e.Name, "PASSWORD")
			found[e.Name] = e.Value
			continue
		}
		require.Contains(t, e.Name, "PASSWORD")
		require.Equal(t, "booking-svc", e.ValueFrom.SecretKeyRef.Name)
		found[e.Name] = "hush"
	}
	return found
}

func TestKubernetesSettings(t *testing.T) {
	both(t, func(t *testing.T, objects map[string]runtime.Object) {
		server := get[*appsv1.Deployment](t, objects, "Deployment/booking-svc").Spec.Template.Spec
		migrate := get[*batchv1.Job](t, objects, "Job/booking-svc-migrate").Spec.Template.Spec
		env := settings(t, objects, server.Containers[0])
		requireSettings(t, env)
		require.Contains(t, env, "POSTGRES_PASSWORD")
		require.Contains(t, env, "REDIS_PASSWORD")
		// Who migrates is not who serves: deploy/postgres/roles.sql.
		owner := settings(t, objects, migrate.Containers[0])
		requireSettings(t, owner)
		require.Equal(t, "booking_owner", owner["POSTGRES_USER"])
		require.NotEqual(t, "booking_owner", env["POSTGRES_USER"])
		for _, pod := range []corev1.PodSpec{server, migrate} {
			requireCommand(t, pod.Containers[0].Args)
			require.False(t, *pod.EnableServiceLinks, "a Service named postgres sets POSTGRES_PORT to a URL")
		}
		wait := time.Duration(*server.TerminationGracePeriodSeconds) * time.Second
		slept := time.Duration(server.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
		require.Greater(t, wait, slept+shutdownTimeout(t, env))
	})
}

func TestKubernetesGivesNoRights(t *testing.T) {
	both(t, func(t *testing.T, objects map[string]runtime.Object) {
		require.False(t, *get[*corev1.ServiceAccount](t, objects, "ServiceAccount/booking-svc").AutomountServiceAccountToken)
		for _, pod := range []corev1.PodSpec{
			get[*appsv1.Deployment](t, objects, "Deployment/booking-svc").Spec.Template.Spec,
			get[*batchv1.Job](t, objects, "Job/booking-svc-migrate").Spec.Template.Spec,
		} {
			require.Equal(t, "booking-svc", pod.ServiceAccountName)
			require.False(t, *pod.AutomountServiceAccountToken)
			require.True(t, *pod.SecurityContext.RunAsNonRoot)
			require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
			require.Empty(t, pod.Volumes)
			require.Len(t, pod.Containers, 1)
			c := pod.Containers[0]
			require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
			require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
			require.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
			require.NotZero(t, c.Resources.Requests.Cpu().MilliValue())
			require.NotZero(t, c.Resources.Requests.Memory().Value())
			require.NotZero(t, c.Resources.Limits.Memory().Value())
		}
	})
}

func TestKubernetesRollsOutWithoutAGap(t *testing.T) {
	both(t, func(t *testing.T, objects map[string]runtime.Object) {
		d := get[*appsv1.Deployment](t, objects, "Deployment/booking-svc").Spec
		require.Zero(t, d.Strategy.RollingUpdate.MaxUnavailable.IntValue())
		require.Equal(t, 1, d.Strategy.RollingUpdate.MaxSurge.IntValue())
		c := d.Template.Spec.Containers[0]
		require.Equal(t, "/healthz", c.StartupProbe.HTTPGet.Path)
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path, "a database that is away is no reason to restart")
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		ports := make(map[string]int32)
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		known := defaults(t)
		require.Equal(t, known["PORT"], fmt.Sprint(ports["grpc"]))
		require.Equal(t, known["METRICS_PORT"], fmt.Sprint(ports["metrics"]))
		for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
			require.Contains(t, ports, probe.HTTPGet.Port.String())
		}
		service := get[*corev1.Service](t, objects, "Service/booking-svc").Spec
		require.Equal(t, corev1.ClusterIPNone, service.ClusterIP, "gRPC clients spread their calls over the replicas")
		for _, p := range service.Ports {
			require.Equal(t, ports[p.TargetPort.String()], p.Port)
		}
	})
	scaler := get[*autoscalingv2.HorizontalPodAutoscaler](t, manifests(t, production), "HorizontalPodAutoscaler/booking-svc").Spec
	require.Nil(t, get[*appsv1.Deployment](t, manifests(t, production), "Deployment/booking-svc").Spec.Replicas, "the autoscaler decides")
	require.EqualValues(t, 3, *get[*appsv1.Deployment](t, manifests(t, base), "Deployment/booking-svc").Spec.Replicas)
	require.EqualValues(t, 3, *scaler.MinReplicas)
	require.Equal(t, "Deployment", scaler.ScaleTargetRef.Kind)
	require.Equal(t, "booking-svc", scaler.ScaleTargetRef.Name)
}

// Selectors that match nothing are valid to the API, and so are those that match too much.
func TestKubernetesSelectors(t *testing.T) {
	both(t, func(t *testing.T, objects map[string]runtime.Object) {
		d := get[*appsv1.Deployment](t, objects, "Deployment/booking-svc").Spec
		server := labels.Set(d.Template.Labels)
		migrate := labels.Set(get[*batchv1.Job](t, objects, "Job/booking-svc-migrate").Spec.Template.Labels)
		matches := func(s *metav1.LabelSelector, pod labels.Set) bool {
			selector, err := metav1.LabelSelectorAsSelector(s)
			require.NoError(t, err)
			return selector.Matches(pod)
		}
		budget := get[*policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget/booking-svc").Spec
		service := &metav1.LabelSelector{MatchLabels: get[*corev1.Service](t, objects, "Service/booking-svc").Spec.Selector}
		selectors := []*metav1.LabelSelector{d.Selector, budget.Selector, service}
		for _, spread := range d.Template.Spec.TopologySpreadConstraints {
			selectors = append(selectors, spread.LabelSelector)
		}
		require.Len(t, selectors, 5)
		for _, s := range selectors {
			require.True(t, matches(s, server))
			require.False(t, matches(s, migrate), "a migration is no replica")
		}
		policy := get[*networkingv1.NetworkPolicy](t, objects, "NetworkPolicy/booking-svc").Spec
		require.True(t, matches(&policy.PodSelector, server))
		require.True(t, matches(&policy.PodSelector, migrate))
		require.Equal(t, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}, policy.PolicyTypes)
	})
	objects := manifests(t, production)
	monitor := get[*monitoringv1.ServiceMonitor](t, objects, "ServiceMonitor/booking-svc").Spec
	selector, err := metav1.LabelSelectorAsSelector(&monitor.Selector)
	require.NoError(t, err)
	service := get[*corev1.Service](t, objects, "Service/booking-svc")
	require.True(t, selector.Matches(labels.Set(service.Labels)))
	require.Equal(t, service.Spec.Ports[1].Name, monitor.Endpoints[0].Port)
}

// The image's tag is the overlay's, for the server and the migration alike.
func TestKubernetesImages(t *testing.T) {
	objects := manifests(t, production)
	image := get[*appsv1.Deployment](t, objects, "Deployment/booking-svc").Spec.Template.Spec.Containers[0].Image
	require.Regexp(t, `:v\d`, image)
	require.Equal(t, image, get[*batchv1.Job](t, objects, "Job/booking-svc-migrate").Spec.Template.Spec.Containers[0].Image)
}
