# What an instance is when only its project is named.

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

override_resource {
  target = google_service_account.build
  values = {
    id     = "projects/example-project/serviceAccounts/tlogistry-build@example-project.iam.gserviceaccount.com"
    email  = "tlogistry-build@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:tlogistry-build@example-project.iam.gserviceaccount.com"
  }
}

variables {
  project = "example-project"
}

run "plan" {
  command = plan

  assert {
    condition     = google_cloudfunctions2_function.registry.project == "example-project"
    error_message = "the function is in another project"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.location == "us-east4"
    error_message = "the region's default is not us-east4"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.name == "tlogistry"
    error_message = "the name's default is not tlogistry"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.build_config[0].runtime == "go126"
    error_message = "the runtime is not go126"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.build_config[0].entry_point == "Registry"
    error_message = "the entry point is not Registry, which function.go registers"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.build_config[0].environment_variables == tomap({ CGO_ENABLED = "0", GOFLAGS = "-tags=grpcnotrace" })
    error_message = "the function is built with libc or gRPC's tracing"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].ingress_settings == "ALLOW_ALL"
    error_message = "the ingress's default is not ALLOW_ALL"
  }

  assert {
    condition = (
      google_cloudfunctions2_function.registry.service_config[0].min_instance_count == 0 &&
      google_cloudfunctions2_function.registry.service_config[0].max_instance_count == 10
    )
    error_message = "the numbers of instances are not 0 and 10"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].available_memory == "512Mi"
    error_message = "the memory's default is not 512Mi"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].available_cpu == "1"
    error_message = "there is no whole CPU, without which there is no concurrency"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].max_instance_request_concurrency == 80
    error_message = "the concurrency's default is not 80"
  }

  assert {
    condition     = google_storage_bucket.source.uniform_bucket_level_access
    error_message = "objects of the bucket can have access rules of their own"
  }

  assert {
    condition     = google_storage_bucket.source.public_access_prevention == "enforced"
    error_message = "the bucket can be made public"
  }

  assert {
    condition     = one(google_storage_bucket.source.lifecycle_rule[0].condition).days_since_noncurrent_time == 30
    error_message = "old archives do not expire"
  }

  assert {
    condition     = alltrue([for a in google_project_service.api : !a.disable_on_destroy])
    error_message = "destroying an instance would turn off APIs that others use"
  }

  assert {
    condition     = join(",", keys(google_cloud_run_v2_service_iam_member.invoker)) == "allUsers"
    error_message = "not exactly everybody may pull by default"
  }

  assert {
    condition     = length(google_cloud_run_domain_mapping.registry) == 0
    error_message = "a domain is mapped that nobody asked for"
  }

  assert {
    condition = (
      length(google_secret_manager_secret_iam_member.docker_config) == 0 &&
      length(google_cloudfunctions2_function.registry.service_config[0].secret_volumes) == 0
    )
    error_message = "a secret is read that nobody asked for"
  }
}

run "apply" {
  assert {
    condition     = google_cloudfunctions2_function.registry.service_config[0].service_account_email == "tlogistry@example-project.iam.gserviceaccount.com"
    error_message = "the function does not run as its own account"
  }

  assert {
    condition = google_cloudfunctions2_function.registry.service_config[0].environment_variables == tomap({
      IDENTITY = "tlogistry@example-project.iam.gserviceaccount.com"
    })
    error_message = "variables are set that nobody asked for"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.build_config[0].service_account == google_service_account.build.id
    error_message = "the function is not built by the build account"
  }

  # These are all the grants that are always there: a Go test counts them.
  assert {
    condition = alltrue([
      for m in [
        google_project_iam_member.build_logs.member,
        google_project_iam_member.build_sources.member,
        google_storage_bucket_iam_member.build_archive.member,
        google_artifact_registry_repository_iam_member.build_images.member,
      ] : m == "serviceAccount:tlogistry-build@example-project.iam.gserviceaccount.com"
    ])
    error_message = "a role goes to another account than the build's: the service account needs none"
  }

  assert {
    condition = [
      google_project_iam_member.build_logs.role,
      google_project_iam_member.build_sources.role,
      google_storage_bucket_iam_member.build_archive.role,
      google_artifact_registry_repository_iam_member.build_images.role,
      ] == [
      "roles/logging.logWriter",
      "roles/storage.objectViewer",
      "roles/storage.objectViewer",
      "roles/artifactregistry.writer",
    ]
    error_message = "the build account has other roles than a build needs"
  }

  assert {
    condition     = google_project_iam_member.build_sources.condition[0].expression == "resource.name == \"projects/_/buckets/gcf-v2-sources-123456789012-us-east4\" || resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-123456789012-us-east4/objects/tlogistry/\")"
    error_message = "the build account may read more than the function's own sources"
  }

  assert {
    condition     = google_storage_bucket_object.source.name == "source-${data.archive_file.source.output_sha256}.zip"
    error_message = "the archive is not named by its hash"
  }

  # The archive provider really makes it.
  assert {
    condition     = data.archive_file.source.output_size > 100000 && data.archive_file.source.output_size < 1000000
    error_message = "the archive has ${data.archive_file.source.output_size} bytes"
  }

  assert {
    condition     = google_cloudfunctions2_function.registry.build_config[0].source[0].storage_source[0].object == google_storage_bucket_object.source.name
    error_message = "the function is not built from the archive"
  }

  assert {
    condition     = output.url == "https://tlogistry-abcdefghij-uk.a.run.app"
    error_message = "url is not the address on run.app"
  }

  assert {
    condition     = output.service_account == "tlogistry@example-project.iam.gserviceaccount.com"
    error_message = "service_account is not the function's account"
  }

  assert {
    condition     = output.pull_example == "docker pull tlogistry-abcdefghij-uk.a.run.app/alpine:3.16.0"
    error_message = "pull_example does not pull by the address on run.app"
  }

  assert {
    condition     = output.verify_example == "tlogistry verify --identity tlogistry@example-project.iam.gserviceaccount.com alpine:3.16.0"
    error_message = "verify_example does not name the function's account"
  }

  assert {
    condition     = length(output.domain_records) == 0
    error_message = "there are DNS records without a domain"
  }
}
