-- @summary Show the kernel of a guest: release, command line, when it booted
-- @description vitrine info says how it was found, and what that rests on.
-- @columns version, hostname, boot_time, cpus_online, arguments
-- @never-empty
-- @example vitrine kernel qemu:web1 # as uname -r and cat /proc/cmdline inside the guest
-- @example vitrine kernel qemu:web1 --columns all # everything that is known of it
-- @example vitrine kernel memory.img --format json # for a program
SELECT * FROM kernel_info
