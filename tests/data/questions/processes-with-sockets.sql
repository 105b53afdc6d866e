SELECT p.pid, p.name, s.fd, s.family, s.type, s.protocol, s.local_address, s.local_port, s.remote_address, s.remote_port, s.path, s.state
FROM processes p JOIN process_open_sockets s USING (pid)
ORDER BY p.pid, s.fd, s.family, s.local_port
