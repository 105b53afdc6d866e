-- @summary List the ports a guest listens on, and who does
-- @option --pid -p number N: only of the process with this id
-- @where pid = :pid
-- @option --port number N: only this port
-- @where port = :port
-- @option --all -a flag: also sockets that have no port: of unix, and raw ones
-- @columns pid, process, protocol, address, port, path
-- @show protocol: CASE protocol WHEN 6 THEN 'tcp' WHEN 17 THEN 'udp' ELSE protocol END
-- @sort port
-- @example vitrine ports qemu:web1 # as ss -ltunp inside the guest
-- @example vitrine ports qemu:web1 --port 22 # who listens on it
-- @example vitrine ports memory.img --all --format csv # unix sockets as well, for a spreadsheet
SELECT l.*, p.name AS process
FROM listening_ports AS l LEFT JOIN processes AS p ON p.pid = l.pid
WHERE (l.family <> 1 AND l.type <> 3) OR :all IS NOT NULL
