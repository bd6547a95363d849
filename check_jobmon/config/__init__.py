"""What a site sets: connection options, the hosts file, the configuration file, job_check_config."""
