-- The current battery of all devices, also of those that are absent from the object that sets this off: what earlier
-- reports know, and what is new in the hour of the object ({dt}). So a report costs what an hour costs, however long the
-- history is, and a late object is in every later report. A device drops out when there was no report for a week. A ping
-- without time or level says nothing about the battery.
WITH known AS (
  SELECT device_id, sent_at, battery_level, charging
  FROM devicebattery
  WHERE dt BETWEEN '{dt-7d}' AND '{dt}'
  UNION ALL
  SELECT device_id, sent_at, battery_level, charging
  FROM deviceping
  WHERE dt = '{dt}'
)
SELECT device_id, max(sent_at) AS sent_at, max_by(battery_level, sent_at) AS battery_level, max_by(charging, sent_at) AS charging
FROM known
WHERE device_id IS NOT NULL AND sent_at IS NOT NULL AND battery_level IS NOT NULL
GROUP BY device_id
ORDER BY device_id
