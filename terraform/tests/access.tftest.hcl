# Who may pull, from where, by which name, and what.

mock_provider "google" {
  source = "./tests/mocks/google"
}

mock_provider "time" {}

variables {
  project = "example-project"
}

run "nobody" {
  command = plan

  variables {
    invokers = []
  }

  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.invoker) == 0
    error_message = "somebody may pull although nobody was named"
  }
}

run "a_group" {
  command = plan

  variables {
    invokers = ["group:builders@example.com", "serviceAccount:ci@example-project.iam.gserviceaccount.com"]
    ingress  = "ALLOW_INTERNAL_ONLY"
  }

  assert {
    condition = [for m in google_cloud_run_v2_service_iam_member.invoker : m.member] == [
      "group:builders@example.com",
      "serviceAccount:ci@example-project.iam.gserviceaccount.com",
    ]
    error_message = "others than the named may pull"
  }

  assert {
    condition     = alltrue([for m in google_cloud_run_v2_service_iam_member.invoker : m.role == "roles/run.invoker" && m.name == "tlogistry"])
    error_message = "the named have another role than run.invoker, or on another service"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    error_message = "the ingress is not what was asked for"
  }
}

run "domain" {
  variables {
    domain = "registry.example.com"
  }

  assert {
    condition     = google_cloud_run_domain_mapping.registry[0].name == "registry.example.com"
    error_message = "the domain is not mapped"
  }

  assert {
    condition     = google_cloud_run_domain_mapping.registry[0].spec[0].route_name == "tlogistry"
    error_message = "the domain is not mapped to the function's service"
  }

  assert {
    condition     = output.pull_example == "docker pull registry.example.com/alpine:3.16.0"
    error_message = "pull_example does not use the domain"
  }

  assert {
    condition     = output.domain_records == [{ name = "registry", type = "CNAME", rrdata = "ghs.googlehosted.com." }]
    error_message = "domain_records are not the mapping's"
  }
}

run "environment" {
  command = plan

  variables {
    allow = ["docker.io/library/*", "ghcr.io/acme/**"]
    env   = { UPSTREAM_TIMEOUT = "20s" }
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].environment_variables["ALLOW"] == "docker.io/library/*,ghcr.io/acme/**"
    error_message = "ALLOW is not the patterns, separated by commas"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].environment_variables["UPSTREAM_TIMEOUT"] == "20s"
    error_message = "a variable of env is not set"
  }

  assert {
    condition     = length(google_cloudfunctions2_function.registry.service_config[0].environment_variables) == 3
    error_message = "variables are set that nobody asked for"
  }
}

run "domain_behind_ingress" {
  command = plan

  variables {
    domain  = "registry.example.com"
    ingress = "ALLOW_INTERNAL_ONLY"
  }

  expect_failures = [google_cloud_run_domain_mapping.registry]
}

run "more_than_most" {
  command = plan

  variables {
    min_instances = 3
    max_instances = 2
  }

  expect_failures = [google_cloudfunctions2_function.registry]
}
