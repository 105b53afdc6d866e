-- @summary List the sockets of a guest's processes
-- @description As ss inside the guest: of every family, with the process that has it open; those without one as well.
-- @option --pid -p number N: only of the process with this id
-- @where pid = :pid
-- @option --listening -l flag: only those that wait for connections
-- @where state = 'LISTEN'
-- @option --state text STATE: only in this state: ESTABLISHED, LISTEN, ...
-- @where state = upper(:state)
-- @option --port number N: only those with this port, here or at the other end
-- @where local_port = :port OR remote_port = :port
-- @argument PID --pid: only of this process, as --pid
-- @columns pid, process, fd, family, type, local_address, local_port, remote_address, remote_port, state, path
-- @show family: CASE family WHEN 1 THEN 'unix' WHEN 2 THEN 'ipv4' WHEN 10 THEN 'ipv6' WHEN 16 THEN 'netlink' WHEN 17 THEN 'packet' WHEN 40 THEN 'vsock' ELSE family END
-- @show type: CASE type WHEN 1 THEN 'stream' WHEN 2 THEN 'datagram' WHEN 3 THEN 'raw' WHEN 5 THEN 'seqpacket' ELSE type END
-- @example vitrine sockets qemu:web1 # as ss -anp inside the guest
-- @example vitrine sockets qemu:web1 --listening # as ss -lnp
-- @example vitrine sockets qemu:web1 --state established --port 22 # the connections of ssh
-- @example vitrine sockets memory.img 812 --format json # of one process, for a program
SELECT s.*, p.name AS process
FROM process_open_sockets AS s LEFT JOIN processes AS p ON p.pid = s.pid
