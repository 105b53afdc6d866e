SELECT name, type, offset, size FROM type_members
WHERE type_name = 'task_struct' AND level = 0 ORDER BY size DESC, offset LIMIT 20
