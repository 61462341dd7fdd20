output "url" {
  description = "Address of the instance on run.app, which docker can pull from. The address on cloudfunctions.net has the function's name in its path, and docker cannot."
  value       = google_cloudfunctions2_function.registry.service_config[0].uri
}

output "service_account" {
  description = "The identity whose records count: what verify and audit need as --identity."
  value       = google_service_account.registry.email
}

output "pull_example" {
  description = "A pull through the instance, by the domain if there is one."
  value       = "docker pull ${local.host}/alpine:3.16.0"
}

output "verify_example" {
  description = "The check of that tag against the log and the registry, without the instance."
  value       = "tlogistry verify --identity ${google_service_account.registry.email} alpine:3.16.0"
}

output "domain_records" {
  description = "DNS records to set for the domain. An empty name is the domain itself."
  value = [
    for r in flatten([for m in google_cloud_run_domain_mapping.registry : [for s in m.status : s.resource_records]]) :
    { name = r.name, type = r.type, rrdata = r.rrdata }
  ]
}
