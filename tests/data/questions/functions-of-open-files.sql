SELECT sym(f.operations) AS operations, f.type, count(*) AS files
FROM process_open_files f GROUP BY f.operations, f.type ORDER BY operations, f.type
