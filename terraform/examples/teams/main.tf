# Two instances in one project. Each signs with an account of its own, so each
# team's first pull of a tag decides for that team alone.

terraform {
  required_version = ">= 1.7"

  # The module's own, named again as a test can mock only what is named here.
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.12"
    }
  }
}

variable "project" {
  description = "ID of the Google Cloud project of both instances."
  type        = string
}

module "team" {
  source = "../.."
  for_each = {
    team-a = ["docker.io/library/*"]
    team-b = ["docker.io/library/*", "ghcr.io/acme/**"]
  }

  project = var.project
  name    = each.key
  allow   = each.value
  labels  = { team = each.key }
}

output "urls" {
  description = "Address of each team's instance."
  value       = { for name, instance in module.team : name => instance.url }
}

output "service_accounts" {
  description = "Identity of each team's instance."
  value       = { for name, instance in module.team : name => instance.service_account }
}
