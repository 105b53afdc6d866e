-- @summary List the open files of a guest's processes
-- @description As lsof inside the guest: every descriptor, with the name of its process.
-- @option --pid -p number N: only of the process with this id
-- @where pid = :pid
-- @option --path glob GLOB: only files whose path matches the shell pattern
-- @where path GLOB :path
-- @option --deleted flag: only files that are in no directory any more
-- @where deleted = 1
-- @argument PID --pid: only of this process, as --pid
-- @columns pid, process, fd, type, mode, size, path
-- @example vitrine files qemu:web1 # as lsof -n inside the guest
-- @example vitrine files qemu:web1 812 # as ls -l /proc/812/fd
-- @example vitrine files qemu:web1 --deleted # as lsof +L1: deleted and still open, and where the space went
-- @example vitrine files memory.img --path '/var/log/*' # who has these open
SELECT f.*, p.name AS process
FROM process_open_files AS f LEFT JOIN processes AS p ON p.pid = f.pid
