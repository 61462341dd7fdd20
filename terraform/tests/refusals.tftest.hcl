# What each variable refuses.

mock_provider "google" {
  source = "./tests/mocks/google"
}

mock_provider "time" {}

variables {
  project = "example-project"
}

run "project_is_number" {
  command = plan

  variables {
    project = "123456789012"
  }

  expect_failures = [var.project]
}

run "project_is_short" {
  command = plan

  variables {
    project = "short"
  }

  expect_failures = [var.project]
}

run "region_is_zone" {
  command = plan

  variables {
    region = "us-east4-a"
  }

  expect_failures = [var.region]
}

run "name_is_short" {
  command = plan

  variables {
    name = "tlog"
  }

  expect_failures = [var.name]
}

run "name_is_long" {
  command = plan

  variables {
    name = "abcdefghijklmnopqrstuvwxy"
  }

  expect_failures = [var.name]
}

run "name_ends_in_hyphen" {
  command = plan

  variables {
    name = "tlogistry-"
  }

  expect_failures = [var.name]
}

run "name_in_capitals" {
  command = plan

  variables {
    name = "Tlogistry"
  }

  expect_failures = [var.name]
}

run "domain_is_url" {
  command = plan

  variables {
    domain = "https://registry.example.com"
  }

  expect_failures = [var.domain]
}

run "domain_is_one_label" {
  command = plan

  variables {
    domain = "registry"
  }

  expect_failures = [var.domain]
}

run "invoker_is_address" {
  command = plan

  variables {
    invokers = ["ann@example.com"]
  }

  expect_failures = [var.invokers]
}

run "ingress_is_unknown" {
  command = plan

  variables {
    ingress = "INTERNAL"
  }

  expect_failures = [var.ingress]
}

run "min_is_negative" {
  command = plan

  variables {
    min_instances = -1
  }

  expect_failures = [var.min_instances]
}

run "max_is_zero" {
  command = plan

  variables {
    max_instances = 0
  }

  expect_failures = [var.max_instances]
}

run "max_is_fraction" {
  command = plan

  variables {
    max_instances = 1.5
  }

  expect_failures = [var.max_instances]
}

run "memory_is_too_small" {
  command = plan

  variables {
    memory = "128Mi"
  }

  expect_failures = [var.memory]
}

run "concurrency_is_zero" {
  command = plan

  variables {
    concurrency = 0
  }

  expect_failures = [var.concurrency]
}

run "concurrency_is_too_great" {
  command = plan

  variables {
    concurrency = 1001
  }

  expect_failures = [var.concurrency]
}

run "allow_without_registry" {
  command = plan

  variables {
    allow = ["alpine"]
  }

  expect_failures = [var.allow]
}

run "allow_with_comma" {
  command = plan

  variables {
    allow = ["docker.io/library/alpine,ghcr.io/acme/app"]
  }

  expect_failures = [var.allow]
}

run "allow_in_capitals" {
  command = plan

  variables {
    allow = ["GHCR.io/acme/**"]
  }

  expect_failures = [var.allow]
}

run "allow_with_implied_registry" {
  command = plan

  variables {
    allow = ["library/*"]
  }

  expect_failures = [var.allow]
}

run "allow_with_asterisks_inside" {
  command = plan

  variables {
    allow = ["ghcr.io/**/app"]
  }

  expect_failures = [var.allow]
}

run "allow_with_two_dots" {
  command = plan

  variables {
    allow = ["docker.io/a..b"]
  }

  expect_failures = [var.allow]
}

run "env_in_small_letters" {
  command = plan

  variables {
    env = { upstream_timeout = "20s" }
  }

  expect_failures = [var.env]
}

run "env_sets_allow" {
  command = plan

  variables {
    env = { ALLOW = "docker.io/library/*" }
  }

  expect_failures = [var.env]
}

run "env_sets_docker_config" {
  command = plan

  variables {
    env = { DOCKER_CONFIG = "/workspace" }
  }

  expect_failures = [var.env]
}

run "secret_is_path" {
  command = plan

  variables {
    docker_config_secret = "projects/example-project/secrets/tlogistry-docker"
  }

  expect_failures = [var.docker_config_secret]
}

run "secret_has_no_version" {
  command = plan

  variables {
    docker_config_secret = "tlogistry-docker:"
  }

  expect_failures = [var.docker_config_secret]
}

run "env_sets_identity" {
  command = plan

  variables {
    env = { IDENTITY = "other@example-project.iam.gserviceaccount.com" }
  }

  expect_failures = [var.env]
}

run "env_sets_port" {
  command = plan

  variables {
    env = { PORT = "80" }
  }

  expect_failures = [var.env]
}

run "env_sets_local_log" {
  command = plan

  variables {
    env = { TLOG = "local" }
  }

  expect_failures = [var.env]
}

run "label_in_capitals" {
  command = plan

  variables {
    labels = { Team = "a" }
  }

  expect_failures = [var.labels]
}
