# In a new Debian, which mmdebstrap makes in memory from the mirrors, runs clean_root.sh: bash new_root.sh ROOT FILE...
# As root, in namespaces of its own (unshare). The files are copied to its /tmp.
set -eu
root=$1
shift

# Half of the work would go into what nothing here uses. So the root begins with these as if they were installed: LLVM, which
# PostgreSQL has for queries that cost more than any of these; locales, because C.UTF-8 is always there; certificates; Nagios's mails.
# And usrmerge, because directories that are links from the start need no moving.
begin() {
    for package in bsd-mailx libllvm14 locales ssl-cert usr-is-merged; do
        printf '%s\n' "Package: $package" 'Status: install ok installed' 'Architecture: all' 'Multi-Arch: foreign' \
            'Version: 9:0' 'Maintainer: Nobody <nobody@example.com>' 'Description: Left out' '' >> "$1/var/lib/dpkg/status"
        touch "$1/var/lib/dpkg/info/$package.list"
    done
    for directory in bin sbin lib lib32 lib64 libx32; do
        mkdir -p "$1/usr/$directory"
        ln -s "usr/$directory" "$1/$directory"
    done
}
# what PostgreSQL would look for LLVM for
exclude() {
    printf 'path-exclude=/usr/lib/postgresql/*/lib/%s\n' 'bitcode/*' 'llvmjit*' > "$1/etc/dpkg/dpkg.cfg.d/without-llvm"
}
# a function as the text of a hook, which has the root as $1
hook() {
    declare -f "$1"
    echo "$1 \"\$1\""
}

options=(
    --mode=root --variant=essential
    --include=postgresql-15,nagios4-core,python3-nagiosplugin,python3-psycopg,python3-yaml
    # where apt has a proxy or a mirror of its own, its configuration says so
    --aptopt='Acquire::Retries "3"'
    # in a container it may also say that what apt has read of the mirrors' lists isn't to be kept: not even for the next call
    --aptopt='Dir::Cache::pkgcache "pkgcache.bin"' --aptopt='Dir::Cache::srcpkgcache "srcpkgcache.bin"'
    --dpkgopt=force-unsafe-io
    --setup-hook="$(hook begin)" --essential-hook="$(hook exclude)"
)
mount -t tmpfs tmpfs "$root"
mmdebstrap "${options[@]}" bookworm "$root"

mount -t proc proc "$root/proc"
mkdir -p "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm"
cp "$@" "$root/tmp"
exec chroot "$root" bash /tmp/clean_root.sh
