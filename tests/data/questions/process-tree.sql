WITH RECURSIVE tree(pid, name, depth, line) AS (
    SELECT pid, name, 0, printf('%08d', pid) FROM processes WHERE parent = 0
    UNION ALL
    SELECT p.pid, p.name, tree.depth + 1, tree.line || '/' || printf('%08d', p.pid)
    FROM processes p JOIN tree ON p.parent = tree.pid)
SELECT depth, pid, name FROM tree ORDER BY line
