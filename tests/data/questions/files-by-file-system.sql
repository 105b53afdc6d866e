SELECT f.fs_type, f.type, count(*) AS files, count(DISTINCT f.pid) AS processes, count(DISTINCT f.file) AS structures, min(p.name) AS first_name
FROM process_open_files f JOIN processes p USING (pid)
GROUP BY f.fs_type, f.type ORDER BY f.fs_type, f.type
