# In a new Debian with PostgreSQL and Nagios, as root: what a site's administrator does with the two packages, from dpkg -i to dpkg -P.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
everything() { find / -xdev \( -path /proc -o -path /dev -o -path /var/lib/dpkg -o -path /tmp -o -path /var/log -o -name __pycache__ \) -prune -o -print | sort; }
everything > /tmp/before

dpkg -i /tmp/*.deb
dpkg --verify check-jobmon jobmonctl
if ls /etc/systemd/system/*.wants/jobmonctl* 2> /dev/null; then echo "a timer is enabled"; exit 1; fi
for page in /usr/share/man/man1/jobmonctl-run.1.gz /usr/share/man/man5/jobs.yml.5.gz; do zcat $page | grep -q '^\.TH'; done
bash -n /usr/share/bash-completion/completions/jobmonctl

pg_ctlcluster 15 main start
as_postgres() { setpriv --reuid=postgres --regid=postgres --init-groups env HOME=/var/lib/postgresql "$@"; }
as_postgres jobmonctl bootstrap
as_postgres psql -qc 'CREATE ROLE nagios LOGIN IN ROLE jobmon_monitor'
as_postgres jobmonctl run etl -- sh -c 'echo done'
as_postgres jobmonctl status

cat > /etc/nagios4/conf.d/site.cfg <<'END'
define host {
    use                 generic-host
    host_name           db
    address             /var/run/postgresql
    check_command       check-host-alive
    max_check_attempts  3
    active_checks_enabled 0
}
define service {
    use                 jobmon-service
    host_name           db
    service_description Jobs
    check_command       check_jobmon!-d postgres
}
END
sed -i "s|^\(use_syslog\|check_for_updates\)=1|\1=0|; s|^service_inter_check_delay_method=.*|service_inter_check_delay_method=n|" /etc/nagios4/nagios.cfg
nagios4 -v /etc/nagios4/nagios.cfg > /tmp/verified || { cat /tmp/verified; exit 1; }
install -d -o nagios -g nagios /run/nagios4
nagios4 -d /etc/nagios4/nagios.cfg
for _ in $(seq 1200); do
    ! grep -qs 'plugin_output=JOBMON OK - All jobs run successfully' /var/lib/nagios4/status.dat /var/cache/nagios4/status.dat || break
    sleep 0.1
done
grep -h 'plugin_output=JOBMON' /var/lib/nagios4/status.dat /var/cache/nagios4/status.dat 2> /dev/null | head -1
kill "$(cat /run/nagios4/nagios4.pid)"
rm /etc/nagios4/conf.d/site.cfg

as_postgres jobmonctl uninstall --yes
pg_ctlcluster 15 main stop -m immediate
dpkg -P jobmonctl check-jobmon
everything > /tmp/after
# what PostgreSQL and Nagios wrote is theirs
diff /tmp/before /tmp/after | grep -v '/var/lib/\(postgresql\|nagios4\)\|/var/cache/nagios4\|/run/' | grep '^[<>]' && exit 1
echo "nothing is left"
