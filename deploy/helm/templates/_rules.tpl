{{/*
The rule groups of files/alerts/*.yaml, adapted to the values of prometheusRule: thresholds (a number before
`# threshold: name`), disabled alerts, severities, labels and the prefixes of links.
*/}}
{{- define "poolexporter.ruleGroups" -}}
{{- $values := .Values.prometheusRule }}
{{- range $path, $_ := .Files.Glob "files/alerts/*.yaml" }}
{{- if or $values.openTelemetry (ne (base $path) "opentelemetry.yaml") }}
{{- $text := $.Files.Get $path }}
{{- range $name, $value := $values.thresholds }}
{{- $text = regexReplaceAll (printf `[0-9.]+(\s+# threshold: %s)\b` $name) $text (printf "%v${1}" $value) }}
{{- end }}
{{- range (fromYaml $text).groups }}
{{- $rules := list }}
{{- range .rules }}
{{- if not (has .alert $values.disabledAlerts) }}
{{- $rules = append $rules (include "poolexporter.rule" (dict "rule" . "values" $values) | fromYaml) }}
{{- end }}
{{- end }}
{{- if $rules }}
{{ list (dict "name" .name "rules" $rules) | toYaml }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "poolexporter.rule" -}}
{{- $rule := .rule }}
{{- if $rule.alert }}
{{- $labels := merge (default dict $rule.labels) (default dict .values.alertLabels) }}
{{- with $labels.severity }}{{ $_ := set $labels "severity" (get (default dict $.values.severities) . | default .) }}{{ end }}
{{- with $labels }}{{ $_ := set $rule "labels" . }}{{ end }}
{{- with $rule.annotations }}
{{- if .runbook_url }}{{ $_ := set . "runbook_url" (include "poolexporter.runbook" (list $.values.runbookUrl .runbook_url)) }}{{ end }}
{{- if .dashboard_url }}{{ $_ := set . "dashboard_url" (print (trimSuffix "/" $.values.dashboardUrl) .dashboard_url) }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $rule }}
{{- end }}

{{/* A path in this repository, behind its prefix. */}}
{{- define "poolexporter.runbook" -}}
{{- with first . }}{{ trimSuffix "/" . }}/{{ end }}{{ last . }}
{{- end }}
