variable "project" {
  description = "ID of the Google Cloud project that the instance is made in. The project must exist and have billing."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "The project must be a project ID: 6 to 30 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "region" {
  description = "Region of the function and of everything that belongs to it. A domain mapping is not offered in every region."
  type        = string
  default     = "us-east4"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "The region must be the name of a region, such as us-east4."
  }
}

variable "name" {
  description = "Name of the instance, unique in the project. The function, both service accounts, the bucket and the repository are named by it. Its service account is the identity that signs the records, so a new name starts with no records."
  type        = string
  default     = "tlogistry"
  nullable    = false

  # A service account's name has 6 to 30 characters, and NAME-build is one.
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,22}[a-z0-9]$", var.name))
    error_message = "The name must be 6 to 24 lower-case letters, digits and hyphens, a letter first and no hyphen last."
  }
}

variable "domain" {
  description = "Domain to map to the instance, such as registry.example.com. Empty for none. Whoever applies must be a verified owner of it."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = var.domain == "" || can(regex("^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$", var.domain))
    error_message = "The domain must be a lower-case domain name without scheme, port or path."
  }
}

variable "invokers" {
  description = "Who may call the service, as IAM members. Docker sends no Google identity token, so it can pull only if allUsers is one of them."
  type        = set(string)
  default     = ["allUsers"]
  nullable    = false

  validation {
    condition = alltrue([
      for m in var.invokers :
      can(regex("^(allUsers|allAuthenticatedUsers|(user|serviceAccount|group):[^ :@]+@[^ :@]+|domain:[^ :@]+|principal(Set)?://[^ ]+)$", m))
    ])
    error_message = "Each invoker must be an IAM member: allUsers, allAuthenticatedUsers, user:, serviceAccount:, group:, domain:, principal:// or principalSet://."
  }
}

variable "ingress" {
  description = "Where requests may come from: ALLOW_ALL, ALLOW_INTERNAL_ONLY for the project's networks, or ALLOW_INTERNAL_AND_GCLB for these and a load balancer."
  type        = string
  default     = "ALLOW_ALL"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], var.ingress)
    error_message = "The ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "min_instances" {
  description = "Instances that are kept when there are no requests. One saves the cold start and costs an instance all month."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.min_instances >= 0 && var.min_instances == floor(var.min_instances)
    error_message = "The least number of instances must be a whole number, 0 or more."
  }
}

variable "max_instances" {
  description = "Instances that there may be at most. It bounds the bill."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.max_instances >= 1 && var.max_instances <= 1000 && var.max_instances == floor(var.max_instances)
    error_message = "The greatest number of instances must be a whole number from 1 to 1000."
  }
}

variable "memory" {
  description = "Memory of an instance, which has one CPU."
  type        = string
  default     = "512Mi"
  nullable    = false

  validation {
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "The memory must be 512Mi, 1Gi, 2Gi or 4Gi, which are what one CPU can have."
  }
}

variable "concurrency" {
  description = "Requests that an instance answers at once."
  type        = number
  default     = 80
  nullable    = false

  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && var.concurrency == floor(var.concurrency)
    error_message = "The concurrency must be a whole number from 1 to 1000."
  }
}

variable "allow" {
  description = "Patterns of the repositories that may be pulled, in the names that users type, such as docker.io/library/* or ghcr.io/acme/**. Empty for all."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    # The registry is written out: it has a dot or a port, or is localhost.
    condition = alltrue([for p in var.allow : can(regex(join("", [
      "^([a-z0-9]+(-+[a-z0-9]+)*((\\.[a-z0-9]+(-+[a-z0-9]+)*)+(:[1-9][0-9]{0,4})?|:[1-9][0-9]{0,4})|localhost)",
      "(/[a-z0-9*]+((\\.|_|__|-+)[a-z0-9*]+)*)+$",
    ]), p)) && !can(regex("[*][*].|[^/][*][*]", p))])
    error_message = "Each pattern must be registry/repository with the registry written out, such as docker.io/library/*. An asterisk stands for any characters within one part of a name; two of them, as the last part, for all that is below."
  }
}

variable "docker_config_secret" {
  description = "Secret in Secret Manager that is a Docker config.json with credentials for registries: its name, or NAME:VERSION. Without a version it is the latest. The secret must exist in the project. Empty for none: every pull is anonymous. Whoever may pull from the instance may pull what the credentials may."
  type        = string
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^([a-zA-Z0-9_-]{1,255}(:(latest|[1-9][0-9]*))?)?$", var.docker_config_secret))
    error_message = "The secret must be a name of letters, digits, hyphens and underscores, and may have a colon and a version's number or latest after it."
  }
}

variable "env" {
  description = "Further environment variables of the service, such as UPSTREAM_TIMEOUT. internal/config documents them."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for k in keys(var.env) : can(regex("^[A-Z][A-Z0-9_]*$", k))])
    error_message = "Each environment variable's name must be upper-case letters, digits and underscores, a letter first."
  }

  validation {
    condition     = alltrue([for k in keys(var.env) : !can(regex("^(ALLOW|DOCKER_CONFIG|IDENTITY|PORT|HOST|LOCAL_ONLY|FUNCTION_.*|K_.*|X_GOOGLE_.*)$", k))])
    error_message = "ALLOW is set by the variable allow, DOCKER_CONFIG by docker_config_secret and IDENTITY by the service account; PORT, HOST, LOCAL_ONLY, FUNCTION_*, K_* and X_GOOGLE_* belong to the platform."
  }

  # Instances come, go and share no disk: a log of their own would be forgotten.
  validation {
    condition     = lookup(var.env, "TLOG", "rekor") == "rekor"
    error_message = "TLOG must be rekor: a function has no disk to keep a log on."
  }
}

variable "labels" {
  description = "Labels of the function, the bucket and the repository."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([
      for k, v in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", k)) && can(regex("^[a-z0-9_-]{0,63}$", v))
    ])
    error_message = "Each label must have lower-case letters, digits, underscores and hyphens only, at most 63, a letter first in its key."
  }
}
