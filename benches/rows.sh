# Runs in the guest: rows.sh FOLDER SCRATCH. Measures what programs do with files in FOLDER, in which `tree.tar` and
# `repository` lie, and prints "row NAME MICROSECONDS" for each. SCRATCH is a folder in the guest's own memory.
set -eu
folder=$1
scratch=$2
cp "$folder/tree.tar" "$scratch/tree.tar"
cd "$folder"
export HOME="$scratch" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'

now() { date +%s%N; }
row() {
    name=$1
    shift
    before=$(now)
    "$@" > /dev/null
    after=$(now)
    echo "row $name $(((after - before) / 1000))"
}
# What the guest remembers of files is dropped: each row asks the host.
cold() {
    sync
    echo 3 > /proc/sys/vm/drop_caches
}

row write dd if=/dev/zero of=big bs=1M count=256 conv=fsync status=none
cold
row read dd if=big of=/dev/null bs=1M status=none
rm big
cold
row unpack tar -xf "$scratch/tree.tar"
cold
row list ls -lR tree
cold
row remove rm -rf tree
# The index knows the files by what this guest is told of them.
git -C repository update-index -q --refresh
cold
row status git -C repository status --porcelain
