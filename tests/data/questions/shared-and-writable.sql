SELECT p.pid, p.name, m.start, m.size, m.permissions, m.path, mo.path AS mount_point, mo.type AS file_system
FROM process_memory_map m JOIN processes p USING (pid)
LEFT JOIN mounts mo ON mo.device_number = m.device AND mo.pid = 1
WHERE m.permissions LIKE 'rw_s'
ORDER BY p.pid, m.start, mo.path
