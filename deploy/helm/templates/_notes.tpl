{{/*
Reminders of what is easily forgotten. Helm does not show a dependency's notes: include this in your own NOTES.txt.
*/}}
{{- define "poolexporter.notes" -}}
{{- if not .Values.enabled }}
poolexporter is switched off (enabled: false).
{{- else if include "poolexporter.isForTheCluster" . }}
This release has rules or dashboards for the whole cluster, and no exporter: exporters come with your applications' charts,
which depend on this one, or with standalone.enabled (docs/kubernetes.md).
{{- else if .Values.standalone.enabled }}
The exporter runs as Deployment {{ .Release.Namespace }}/{{ include "poolexporter.fullname" . }}. To look at it:

  kubectl --namespace {{ .Release.Namespace }} port-forward deployment/{{ include "poolexporter.fullname" . }} {{ .Values.port }}
  curl --silent http://127.0.0.1:{{ .Values.port }}/health/db
{{- else }}
This chart renders no workload by itself. Check the following:

- Your Deployment needs the lines for poolexporter.initContainers, poolexporter.containers and poolexporter.volumes, and in the
  application's container those for poolexporter.appEnv and poolexporter.appVolumeMounts (docs/kubernetes.md).
- Your pods need the labels{{ range $key, $value := include "poolexporter.selector" . | fromYaml }} {{ $key }}={{ $value }}{{ end }}, or set `selector` to labels that they have.
{{- if .Values.app.inject }}
- PYTHONPATH is set in the pod and replaces the image's: if your image sets one, repeat it in app.pythonPath.
{{- end }}
- To look at it:

  kubectl --namespace {{ .Release.Namespace }} port-forward POD {{ .Values.port }}
  curl --silent http://127.0.0.1:{{ .Values.port }}/metrics | grep sqlalchemy_pool_processes
{{- end }}
{{- if .Values.enabled }}
{{- if not (include "poolexporter.isForTheCluster" .) }}
{{- if not .Values.image.registry }}
- The image {{ include "poolexporter.image" . }} must be available to your nodes: push it to your registry and set image.registry.
{{- end }}
{{- if not (or .Values.config.databases .Values.existingSecrets .Values.secrets .Values.extraEnv) }}
- No database is configured, so none is probed. Set config.databases, or name a Secret in existingSecrets.
{{- end }}
{{- range .Values.existingSecrets }}
{{- if not .items }}
- The exporter may read every key of Secret {{ .name }}: list those that it needs in the `items` of existingSecrets.
{{- end }}
{{- end }}
{{- if .Values.secrets }}
- Passwords in `secrets` are stored in the release and in your values. Except for trials, use existingSecrets.
{{- end }}
{{- if not (or .Values.podMonitor.enabled .Values.serviceMonitor.enabled) }}
- Nothing tells Prometheus to scrape: set podMonitor.enabled for the Prometheus operator, or add a scrape job for port `pool-metrics`.
{{- end }}
{{- end }}
{{- range $key := list "podMonitor" "serviceMonitor" "prometheusRule" }}
{{- $part := index $.Values $key }}
{{- if and $part.enabled (not $part.labels) }}
- {{ $key }}.labels is empty: most Prometheus operators select by a label, such as release=kube-prometheus-stack.
{{- end }}
{{- end }}
{{- $empty := list }}
{{- range $key := list "runbookUrl" "dashboardUrl" }}
{{- if not (index $.Values.prometheusRule $key) }}{{ $empty = append $empty (print "prometheusRule." $key) }}{{ end }}
{{- end }}
{{- if and .Values.prometheusRule.enabled $empty }}
- Links of alerts are relative and lead nowhere until you set {{ join " and " $empty }}.
{{- end }}
{{- end }}
{{- end }}
