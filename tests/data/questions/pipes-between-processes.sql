SELECT a.pid, pa.name, a.fd, a.partner_pid, pb.name AS partner_name, a.partner_fd, a.inode
FROM process_open_pipes a JOIN processes pa ON pa.pid = a.pid LEFT JOIN processes pb ON pb.pid = a.partner_pid
WHERE a.mode = 'w' AND a.pid <> a.partner_pid
ORDER BY a.pid, a.fd, a.partner_pid, a.partner_fd LIMIT 100
