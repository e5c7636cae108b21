# nomad job run shop.nomad.hcl
#
# The image is one that ../kubernetes/Containerfile makes.
job "shop" {
  group "web" {
    count = 2

    network {
      port "http" {
        to = 8000
      }
      port "nclust" {
        to = 9100
      }
    }

    # Consul names, to a load balancer, those where this check passes: each cluster has
    # a ready worker, and nobody has asked to drain.
    service {
      name = "shop"
      port = "http"

      check {
        type     = "http"
        port     = "nclust"
        path     = "/readyz"
        interval = "2s"
        timeout  = "1s"
      }
    }

    # One allocation after the other, and back to the version before if it is not
    # ready in time.
    update {
      max_parallel     = 1
      min_healthy_time = "10s"
      healthy_deadline = "2m"
      auto_revert      = true
    }

    task "nclust" {
      driver = "docker"

      # The service is taken out of Consul first; so long nclust still gets clients.
      shutdown_delay = "5s"
      kill_signal    = "SIGTERM"
      # drain-timeout and stop-timeout, and 5 s more.  A Nomad client allows 30 s unless
      # its max_kill_timeout is longer.
      kill_timeout = "65s"

      config {
        image = "localhost/shop:1"
        ports = ["http", "nclust"]
        args = [
          "--name", "shop",
          "--http", "0.0.0.0:9100", "--http-open",
          "-n", "2", "--", "/srv/server", "8000",
        ]
      }

      resources {
        # Not every version keeps a task to these, so `-n` is no `auto`.
        cores  = 2
        memory = 512
      }
    }
  }
}
