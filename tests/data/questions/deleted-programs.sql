SELECT p.pid, p.name, p.path, p.cmdline, m.permissions, m.start, m.inode, m.path AS mapped
FROM processes p JOIN process_memory_map m USING (pid)
WHERE p.on_disk = 0 AND m.permissions LIKE '%x%' AND m.inode > 0
ORDER BY p.pid, m.start
