# Instances of one project share nothing: every name has the instance's in it.

mock_provider "google" {
  source = "./tests/mocks/google"
}

mock_provider "time" {}

variables {
  project = "example-project"
}

run "team_a" {
  command = plan

  variables {
    name = "team-a"
  }

  assert {
    condition = [
      google_cloudfunctions2_function.registry.name,
      google_service_account.registry.account_id,
      google_service_account.build.account_id,
      google_storage_bucket.source.name,
      google_artifact_registry_repository.images.repository_id,
      google_cloud_run_v2_service_iam_member.invoker["allUsers"].name,
      ] == [
      "team-a",
      "team-a",
      "team-a-build",
      "example-project-team-a-source",
      "team-a",
      "team-a",
    ]
    error_message = "something has a name that another instance could have"
  }

  assert {
    condition     = endswith(data.archive_file.source.output_path, "/team-a.zip")
    error_message = "the archive is written where another instance's is"
  }
}

run "team_b" {
  command = plan

  variables {
    name = "team-b"
  }

  assert {
    condition = [
      google_cloudfunctions2_function.registry.name,
      google_service_account.registry.account_id,
      google_service_account.build.account_id,
      google_storage_bucket.source.name,
      google_artifact_registry_repository.images.repository_id,
      google_cloud_run_v2_service_iam_member.invoker["allUsers"].name,
      ] == [
      "team-b",
      "team-b",
      "team-b-build",
      "example-project-team-b-source",
      "team-b",
      "team-b",
    ]
    error_message = "something has a name that another instance could have"
  }

  assert {
    condition     = endswith(data.archive_file.source.output_path, "/team-b.zip")
    error_message = "the archive is written where another instance's is"
  }
}

run "example" {
  command = plan

  module {
    source = "./examples/teams"
  }

  assert {
    condition     = join(",", keys(output.urls)) == "team-a,team-b"
    error_message = "the example is not of two teams"
  }
}
