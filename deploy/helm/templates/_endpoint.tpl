{{/* An endpoint of a PodMonitor or ServiceMonitor, from its values. */}}
{{- define "poolexporter.endpoint" -}}
{{- merge (deepCopy .endpoint) (dict "port" "pool-metrics" "path" "/metrics" "interval" .interval "scrapeTimeout" .scrapeTimeout) | toYaml }}
{{- end }}
