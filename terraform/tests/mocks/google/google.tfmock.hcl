# What the tests need the mocked provider to answer. Members and addresses must
# have the right form, as the provider checks what refers to them.

mock_data "google_project" {
  defaults = {
    number = "123456789012"
  }
}

mock_resource "google_service_account" {
  defaults = {
    id     = "projects/example-project/serviceAccounts/other@example-project.iam.gserviceaccount.com"
    email  = "other@example-project.iam.gserviceaccount.com"
    member = "serviceAccount:other@example-project.iam.gserviceaccount.com"
  }
}

mock_resource "google_cloudfunctions2_function" {
  defaults = {
    url = "https://us-east4-example-project.cloudfunctions.net/tlogistry"
    service_config = {
      uri     = "https://tlogistry-abcdefghij-uk.a.run.app"
      gcf_uri = "https://us-east4-example-project.cloudfunctions.net/tlogistry"
    }
  }
}

mock_resource "google_cloud_run_domain_mapping" {
  defaults = {
    status = [{
      conditions          = []
      mapped_route_name   = "tlogistry"
      observed_generation = 1
      resource_records = [{
        name   = "registry"
        type   = "CNAME"
        rrdata = "ghs.googlehosted.com."
      }]
    }]
  }
}
