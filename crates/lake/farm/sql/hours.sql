-- How many signs of life there were by the hour.
SELECT dt, count(*) AS pings, count(DISTINCT device_id) AS devices
FROM deviceping
WHERE device_id IS NOT NULL
GROUP BY dt
ORDER BY dt
