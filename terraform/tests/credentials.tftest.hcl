# Credentials for registries: what they add, and for whom they are refused.

mock_provider "google" {
  source = "./tests/mocks/google"
}

mock_provider "time" {}

override_resource {
  target = google_service_account.registry
  values = {
    id     = "projects/example-project/serviceAccounts/tlogistry@example-project.iam.gserviceaccount.com"
    email  = "tlogistry@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:tlogistry@example-project.iam.gserviceaccount.com"
  }
}

variables {
  project = "example-project"
  allow   = ["ghcr.io/acme/**"]
}

run "secret" {
  variables {
    docker_config_secret = "tlogistry-docker"
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.docker_config[0].secret_id == "tlogistry-docker"
    error_message = "the role is on another secret"
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.docker_config[0].role == "roles/secretmanager.secretAccessor"
    error_message = "the account may do more than read the secret, or cannot"
  }

  assert {
    condition     = google_secret_manager_secret_iam_member.docker_config[0].member == "serviceAccount:tlogistry@example-project.iam.gserviceaccount.com"
    error_message = "another account may read the secret"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].environment_variables["DOCKER_CONFIG"] == "/docker"
    error_message = "DOCKER_CONFIG is not the directory of the file"
  }

  assert {
    condition = (
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].mount_path == "/docker" &&
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].project_id == "example-project" &&
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].secret == "tlogistry-docker"
    )
    error_message = "the secret is not mounted, or elsewhere"
  }

  assert {
    condition = (
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].versions[0].version == "latest" &&
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].versions[0].path == "config.json"
    )
    error_message = "the file is not the latest version, or has another name than docker's"
  }
}

run "version" {
  command = plan

  variables {
    docker_config_secret = "tlogistry-docker:3"
  }

  assert {
    condition = (
      google_secret_manager_secret_iam_member.docker_config[0].secret_id == "tlogistry-docker" &&
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].secret == "tlogistry-docker" &&
      google_cloudfunctions2_function.registry.service_config[0].secret_volumes[0].versions[0].version == "3"
    )
    error_message = "name and version are not told apart"
  }
}

run "for_a_group" {
  command = plan

  variables {
    docker_config_secret = "tlogistry-docker"
    allow                = []
    invokers             = ["group:builders@example.com"]
  }

  assert {
    condition     = length(google_secret_manager_secret_iam_member.docker_config) == 1
    error_message = "there are no credentials for those who were named"
  }
}

run "for_everybody" {
  command = plan

  variables {
    docker_config_secret = "tlogistry-docker"
    allow                = []
  }

  expect_failures = [google_cloudfunctions2_function.registry]
}

run "for_everybody_with_an_account" {
  command = plan

  variables {
    docker_config_secret = "tlogistry-docker"
    allow                = []
    invokers             = ["allAuthenticatedUsers"]
  }

  expect_failures = [google_cloudfunctions2_function.registry]
}

run "google_for_everybody" {
  command = plan

  variables {
    env   = { GOOGLE_REGISTRY_AUTH = "true" }
    allow = []
  }

  expect_failures = [google_cloudfunctions2_function.registry]
}

run "google" {
  command = plan

  variables {
    env = { GOOGLE_REGISTRY_AUTH = "true" }
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].environment_variables["GOOGLE_REGISTRY_AUTH"] == "true"
    error_message = "Google's credentials are not used"
  }

  assert {
    condition     = length(google_secret_manager_secret_iam_member.docker_config) == 0
    error_message = "a role is given that nobody asked for"
  }
}
