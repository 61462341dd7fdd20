# One instance of tlogistry: a Cloud Run function built from this source tree,
# with accounts, bucket and image repository of its own. No resource here is
# shared with another instance, so that each can be destroyed alone.

locals {
  # The APIs that the resources need. They stay on when an instance goes: other
  # things in the project may use them.
  apis = toset([
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "run.googleapis.com",
    "storage.googleapis.com",
  ])

  # Where the Functions API puts a copy of the archive, which is what the build
  # reads. The bucket is Google's, one for a project and region.
  sources = "projects/_/buckets/gcf-v2-sources-${data.google_project.project.number}-${var.region}"

  # A secret as NAME or NAME:VERSION. Both are empty without one.
  docker_config_secret  = split(":", var.docker_config_secret)[0]
  docker_config_version = try(split(":", var.docker_config_secret)[1], "latest")
  docker_config_dir     = "/docker"

  # Credentials are used for whoever may call.
  credentials = var.docker_config_secret != "" || lookup(var.env, "GOOGLE_REGISTRY_AUTH", "false") != "false"
  everybody   = length(setintersection(var.invokers, ["allUsers", "allAuthenticatedUsers"])) > 0

  host = var.domain != "" ? var.domain : trimprefix(google_cloudfunctions2_function.registry.service_config[0].uri, "https://")
}

resource "google_project_service" "api" {
  for_each = local.apis

  project            = var.project
  service            = each.value
  disable_on_destroy = false
}

data "google_project" "project" {
  project_id = var.project

  depends_on = [google_project_service.api]
}

# The identity that signs the records. It has no role, and needs none: any
# account can get an identity token for itself from the metadata server. The
# one exception is for credentials, and only where they are asked for.
resource "google_service_account" "registry" {
  project      = var.project
  account_id   = var.name
  display_name = "${var.name}: signs the records"

  depends_on = [google_project_service.api]
}

resource "google_service_account" "build" {
  project      = var.project
  account_id   = "${var.name}-build"
  display_name = "${var.name}: builds the function"

  depends_on = [google_project_service.api]
}

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

resource "google_project_iam_member" "build_sources" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title      = "${var.name} sources"
    expression = "resource.name == \"${local.sources}\" || resource.name.startsWith(\"${local.sources}/objects/${var.name}/\")"
  }
}

resource "google_storage_bucket_iam_member" "build_archive" {
  bucket = google_storage_bucket.source.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build_images" {
  project    = var.project
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

resource "google_secret_manager_secret_iam_member" "docker_config" {
  count = var.docker_config_secret == "" ? 0 : 1

  project   = var.project
  secret_id = local.docker_config_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.registry.member
}

# A new grant takes a while until it holds everywhere; a build that comes
# earlier fails.
resource "time_sleep" "grants" {
  create_duration = "60s"

  triggers = {
    logs    = google_project_iam_member.build_logs.id
    sources = google_project_iam_member.build_sources.id
    archive = google_storage_bucket_iam_member.build_archive.id
    images  = google_artifact_registry_repository_iam_member.build_images.id
    secret  = join("", google_secret_manager_secret_iam_member.docker_config[*].id)
  }
}

# Archives of former deployments stay for a month as noncurrent versions.
resource "google_storage_bucket" "source" {
  project                     = var.project
  name                        = "${var.project}-${var.name}-source"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true
  labels                      = var.labels

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      with_state                 = "ARCHIVED"
      days_since_noncurrent_time = 30
    }
  }

  depends_on = [google_project_service.api]
}

resource "google_artifact_registry_repository" "images" {
  project       = var.project
  location      = var.region
  repository_id = var.name
  description   = "Images of the function ${var.name}"
  format        = "DOCKER"
  labels        = var.labels

  depends_on = [google_project_service.api]
}

# The excludes are .gcloudignore in the archive provider's words: a test
# compares the two. The mode is set, as the hash must not depend on the machine.
data "archive_file" "source" {
  type             = "zip"
  source_dir       = "${path.module}/.."
  output_path      = "${path.root}/.terraform/${var.name}.zip"
  output_file_mode = "0644"

  excludes = [
    "**/.?*",
    "**/*.md",
    "**/*.out",
    "**/*.test",
    "**/*_test.go",
    "**/testdata",
    "LICENSE",
    "Makefile",
    "bin",
    "cloudbuild.yaml",
    "cmd",
    "docs",
    "e2e",
    "internal/embedded",
    "internal/export",
    "internal/logtest",
    "internal/pullfile",
    "internal/tilelog",
    "scripts",
    "terraform",
    "tlogistry",
  ]
}

# Named by its hash, so that the function is built again when the source has
# changed, and only then.
resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  name   = "source-${data.archive_file.source.output_sha256}.zip"
  source = data.archive_file.source.output_path

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_cloudfunctions2_function" "registry" {
  project     = var.project
  location    = var.region
  name        = var.name
  description = "Registry front that makes the tags of public images immutable"
  labels      = var.labels

  build_config {
    runtime           = "go126"
    entry_point       = "Registry"
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    # libc and gRPC's tracing are not needed, nor need their pages be resident.
    environment_variables = { CGO_ENABLED = "0", GOFLAGS = "-tags=grpcnotrace" }

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.registry.email
    ingress_settings                 = var.ingress
    min_instance_count               = var.min_instances
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.concurrency
    available_memory                 = var.memory
    # More than one request at once needs a whole CPU.
    available_cpu = "1"
    # Longer than the service's own limits on its calls, so that it answers
    # itself, and long enough to stream a large layer.
    timeout_seconds = 900

    # Never empty: the provider takes an empty map for no wish, and keeps
    # variables that were to go.
    environment_variables = merge(
      { IDENTITY = google_service_account.registry.email },
      { for k, v in { ALLOW = join(",", var.allow) } : k => v if v != "" },
      { for m in google_secret_manager_secret_iam_member.docker_config : "DOCKER_CONFIG" => local.docker_config_dir },
      var.env,
    )

    dynamic "secret_volumes" {
      for_each = google_secret_manager_secret_iam_member.docker_config

      content {
        mount_path = local.docker_config_dir
        project_id = var.project
        secret     = local.docker_config_secret

        versions {
          version = local.docker_config_version
          path    = "config.json"
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = !local.credentials || !local.everybody || length(var.allow) > 0
      error_message = "With credentials for registries and everybody as an invoker, whoever calls could pull all that the credentials open: set allow."
    }
    precondition {
      condition     = var.min_instances <= var.max_instances
      error_message = "min_instances must not be greater than max_instances."
    }
  }

  depends_on = [time_sleep.grants]
}

# The function's Cloud Run service has the function's name.
resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = var.invokers

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.registry.name
  role     = "roles/run.invoker"
  member   = each.value
}

resource "google_cloud_run_domain_mapping" "registry" {
  count = var.domain == "" ? 0 : 1

  project  = var.project
  location = var.region
  name     = var.domain

  # Without labels: a change of them would make the mapping anew.
  metadata {
    namespace = var.project
  }

  spec {
    route_name = google_cloudfunctions2_function.registry.name
  }

  lifecycle {
    precondition {
      condition     = var.ingress == "ALLOW_ALL"
      error_message = "A mapped domain is reached from outside: it needs the ingress ALLOW_ALL."
    }
  }
}
