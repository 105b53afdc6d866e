-- @summary List the open pipes of a guest's processes, and who is at the other end
-- @option --pid -p number N: only of the process with this id
-- @where pid = :pid
-- @argument PID --pid: only of this process, as --pid
-- @columns pid, fd, mode, inode, type, partner_pid, partner_fd, partner_mode
-- @example vitrine pipes qemu:web1 # who talks to whom
-- @example vitrine pipes qemu:web1 812 # of one process
-- @example vitrine pipes memory.img --sort inode --columns inode,pid,fd,mode # pipe by pipe
SELECT * FROM process_open_pipes
