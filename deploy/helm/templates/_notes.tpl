{{/*
What people forget. Helm shows no notes of a dependency: put a line with this into your own NOTES.txt.
*/}}
{{- define "poolexporter.notes" -}}
{{- if not .Values.enabled }}
poolexporter is switched off (enabled: false).
{{- else if include "poolexporter.isForTheCluster" . }}
This release has rules or dashboards for the whole cluster, and no exporter: exporters come with the charts of your
applications, which depend on this one, or with standalone.enabled (docs/kubernetes.md).
{{- else if .Values.standalone.enabled }}
The exporter runs as Deployment {{ .Release.Namespace }}/{{ include "poolexporter.fullname" . }}. To look at it:

  kubectl --namespace {{ .Release.Namespace }} port-forward deployment/{{ include "poolexporter.fullname" . }} {{ .Values.port }}
  curl --silent http://127.0.0.1:{{ .Values.port }}/health/db
{{- else }}
This chart renders no workload by itself. What is easily forgotten:

- Your Deployment needs its lines: poolexporter.initContainers, poolexporter.containers, poolexporter.volumes, and in the
  application's container poolexporter.appEnv and poolexporter.appVolumeMounts (docs/kubernetes.md).
- Your pods need the labels{{ range $key, $value := include "poolexporter.selector" . | fromYaml }} {{ $key }}={{ $value }}{{ end }}, or `selector` theirs.
{{- if .Values.app.inject }}
- PYTHONPATH is set in the pod, which replaces one that your image sets: repeat that one in app.pythonPath.
{{- end }}
- To look at it:

  kubectl --namespace {{ .Release.Namespace }} port-forward POD {{ .Values.port }}
  curl --silent http://127.0.0.1:{{ .Values.port }}/metrics | grep sqlalchemy_pool_processes
{{- end }}
{{- if .Values.enabled }}
{{- if not (include "poolexporter.isForTheCluster" .) }}
{{- if not .Values.image.registry }}
- The image {{ include "poolexporter.image" . }} must be where your nodes find it: push it to your registry and set image.registry.
{{- end }}
{{- if not (or .Values.config.databases .Values.existingSecrets .Values.secrets .Values.extraEnv) }}
- No database is configured: whether they answer is not probed. Name a Secret in existingSecrets.
{{- end }}
{{- if .Values.secrets }}
- Passwords in `secrets` are kept in the release and in your values: for more than a trial use existingSecrets.
{{- end }}
{{- if not (or .Values.podMonitor.enabled .Values.serviceMonitor.enabled) }}
- Nothing tells Prometheus to scrape: podMonitor.enabled for the Prometheus operator, else a job for port `pool-metrics`.
{{- end }}
{{- end }}
{{- range $key := list "podMonitor" "serviceMonitor" "prometheusRule" }}
{{- $part := index $.Values $key }}
{{- if and $part.enabled (not $part.labels) }}
- {{ $key }}.labels is empty: most Prometheus operators select by a label, like release=kube-prometheus-stack.
{{- end }}
{{- end }}
{{- $empty := list }}
{{- range $key := list "runbookUrl" "dashboardUrl" }}
{{- if not (index $.Values.prometheusRule $key) }}{{ $empty = append $empty (print "prometheusRule." $key) }}{{ end }}
{{- end }}
{{- if and .Values.prometheusRule.enabled $empty }}
- Links of alerts are relative, and lead nowhere, until you set {{ join " and " $empty }}.
{{- end }}
{{- end }}
{{- end }}
