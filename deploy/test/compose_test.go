package deploy

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

// compose loads the Compose file as `docker compose --profile …` does.
func compose(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithProfiles(profiles), cli.WithResolvedPaths(true))
	require.NoError(t, err)
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

func TestComposeProfiles(t *testing.T) {
	infra := []string{"grafana", "jaeger", "postgres-booking", "prometheus", "redis-master", "redpanda"}
	for _, test := range []struct {
		profiles []string
		want     []string
	}{
		{nil, nil},
		{[]string{"infra-min"}, infra},
		{[]string{"tools"}, []string{"migrate", "postgres-booking"}},
		{[]string{"infra-min", "apps"}, slices.Sorted(slices.Values(append([]string{"booking-svc", "migrate", "venue-svc"}, infra...)))},
	} {
		project := compose(t, test.profiles...)
		require.Equal(t, test.want, slices.Sorted(maps.Keys(project.Services)), "profiles %v", test.profiles)
	}
	// `up -d booking-svc` alone brings what it needs, and not the dashboards.
	project, err := compose(t, "infra-min", "apps").WithSelectedServices([]string{"booking-svc"})
	require.NoError(t, err)
	require.Equal(t, []string{"booking-svc", "migrate", "postgres-booking", "redis-master", "redpanda", "venue-svc"},
		slices.Sorted(maps.Keys(project.Services)))
}

func TestComposePortsAreThisMachinesAlone(t *testing.T) {
	got := make(map[string][]string)
	for name, s := range compose(t, "*").Services {
		for _, p := range s.Ports {
			require.Equal(t, "127.0.0.1", p.HostIP, "%s: its password is known", name)
			got[name] = append(got[name], p.Published+":"+strconv.Itoa(int(p.Target)))
		}
	}
	require.Equal(t, map[string][]string{
		"booking-svc":      {"50152:50052", "9092:9092"},
		"postgres-booking": {"5434:5432"},
		"redis-master":     {"7379:6379"},
		"redpanda":         {"19092:19092"},
		"jaeger":           {"16686:16686"},
		"prometheus":       {"9090:9090"},
		"grafana":          {"3000:3000"},
	}, got)
}

// environment of a service, none of which is left to whoever runs it.
func environment(t *testing.T, s types.ServiceConfig) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for name, value := range s.Environment {
		require.NotNil(t, value, "%s: %s has no value", s.Name, name)
		got[name] = *value
	}
	return got
}

func TestComposeRunsTheService(t *testing.T) {
	project := compose(t, "*")
	for _, name := range []string{"booking-svc", "venue-svc", "migrate"} {
		s := project.Services[name]
		require.Equal(t, "booking-svc:dev", s.Image)
		require.FileExists(t, s.Build.Context+"/"+s.Build.Dockerfile)
		require.True(t, s.ReadOnly, name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
		require.Equal(t, []string{"no-new-privileges:true"}, s.SecurityOpt, name)
		require.False(t, s.Privileged)
		requireSettings(t, environment(t, s))
		if name != "booking-svc" { // its command is the image's
			requireCommand(t, s.Command)
		}
	}
	require.Equal(t, []string{"migrate", "up"}, []string(project.Services["migrate"].Command))
	svc := project.Services["booking-svc"]
	require.Greater(t, time.Duration(*svc.StopGracePeriod), shutdownTimeout(t, environment(t, svc)))

	env := environment(t, svc)
	database := environment(t, project.Services["postgres-booking"])
	require.Equal(t, database["POSTGRES_DB"], env["POSTGRES_DB"])
	// The roles are those that deploy/postgres/roles.sql makes, which a new database begins with.
	require.Equal(t, "booking_user", env["POSTGRES_USER"])
	require.Equal(t, database["SERVICE_PASSWORD"], env["POSTGRES_PASSWORD"])
	migrate := environment(t, project.Services["migrate"])
	require.Equal(t, "booking_owner", migrate["POSTGRES_USER"])
	require.Equal(t, database["OWNER_PASSWORD"], migrate["POSTGRES_PASSWORD"])
	require.Contains(t, project.Services["redis-master"].Command, env["REDIS_PASSWORD"])
}

// Each service that stays has a health check, and what waits for one waits until it is well.
func TestComposeHealthAndOrder(t *testing.T) {
	project := compose(t, "*")
	for name, s := range project.Services {
		require.NotNil(t, s.HealthCheck, name)
		require.Equal(t, name == "migrate", s.HealthCheck.Disable, name)
		if !s.HealthCheck.Disable {
			require.NotEmpty(t, s.HealthCheck.Test, name)
		}
	}
	conditions := make(map[string]string)
	for name, d := range project.Services["booking-svc"].DependsOn {
		conditions[name] = d.Condition
	}
	require.Equal(t, map[string]string{
		"postgres-booking": types.ServiceConditionHealthy,
		"redis-master":     types.ServiceConditionHealthy,
		"redpanda":         types.ServiceConditionHealthy,
		"venue-svc":        types.ServiceConditionHealthy,
		"migrate":          types.ServiceConditionCompletedSuccessfully,
	}, conditions)
	require.Equal(t, types.ServiceConditionHealthy, project.Services["migrate"].DependsOn["postgres-booking"].Condition)
	requireCommand(t, project.Services["booking-svc"].HealthCheck.Test[2:])
}

// What is mounted from here is here, and read only; what is written is on a named volume.
func TestComposeVolumes(t *testing.T) {
	project := compose(t, "*")
	used := make(map[string]bool)
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			switch v.Type {
			case types.VolumeTypeVolume:
				require.Contains(t, project.Volumes, v.Source, name)
				used[v.Source] = true
			case types.VolumeTypeBind:
				require.True(t, v.ReadOnly, "%s: %s", name, v.Source)
				there, err := os.Stat(v.Source)
				require.NoError(t, err, "%s mounts it", name)
				require.NotZero(t, there.Size(), "%s mounts %s", name, v.Source)
				if there.IsDir() {
					entries, err := os.ReadDir(v.Source)
					require.NoError(t, err)
					require.NotEmpty(t, entries, "%s mounts %s", name, v.Source)
				}
			default:
				t.Errorf("%s: volume of type %s", name, v.Type)
			}
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(project.Volumes)), slices.Sorted(maps.Keys(used)))
}

// An image without a tag, or with :latest, is another one tomorrow.
func TestComposeImagesAreTagged(t *testing.T) {
	for name, s := range compose(t, "*").Services {
		require.Regexp(t, `^[a-z/-]+:[a-z]*\d*[a-z0-9.-]*$`, s.Image, name)
		require.NotContains(t, s.Image, ":latest")
	}
}
